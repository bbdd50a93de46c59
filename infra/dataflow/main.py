"""What the Flex Template's launcher runs: it submits the ingestion job with the options it gets."""

import sys

from ingestion.dataflow import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
