"""The example of the README: designs, a network that imitates them, and what it predicts."""

import boed
import hardattn
from data import load

digits = load("digits")
fitted = boed.fit(digits, iterations=2500)  # learns what the design needs
designs = boed.design(fitted, digits["design"], glimpses=5)  # where to look, image by image
designs.save("sequences.h5")

model = hardattn.train(digits, designs, budget=hardattn.Budget(minutes=2))
print("accuracy after each glimpse:", model.evaluate(digits["test"]).accuracy_at)

answer = model.predict(digits["test"].images, stop=hardattn.Gain(0.02))  # stops by itself
print("mean number of glimpses:", answer.taken.mean())
print("first ten classes:", answer.labels[:10].tolist())
model.save("network")  # hardattn.load("network") needs no data set
