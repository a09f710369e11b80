"""Where pictures and logs of the driven page go."""


def pytest_addoption(parser):
    parser.addoption("--out", required=True, help="where pictures and logs go")
