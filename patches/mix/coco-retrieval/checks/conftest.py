"""Where pictures and logs of the driven page go."""


def pytest_addoption(parser):
    parser.addoption("--out", required=True, help="where pictures and logs go")
    parser.addoption("--model", help="directory of a trained model, for pictures of the page; default: new weights")
    parser.addoption("--images", help="folder of pictures to search; default: made scenes")
