"""Where the files of data sets are within their data root, for messages; nothing else is imported for it."""

CELEBAHQ_ANNOTATIONS = "CelebAMask-HQ-attribute-anno.txt"
CELEBAHQ_IMAGES = "CelebA-HQ-img"
CELEBAHQ = f"{CELEBAHQ_ANNOTATIONS} and {CELEBAHQ_IMAGES}/N.jpg"
CUB = (
    "CUB_200_2011/{images/,images.txt,image_class_labels.txt,train_test_split.txt,bounding_boxes.txt,"
    "parts/parts.txt,parts/part_locs.txt}"
)
FOLDER = "CLASS/*.jpg, or train/CLASS/*.jpg and val/CLASS/*.jpg (or .png, .webp, .tif, ..)"
MNIST = "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz"
