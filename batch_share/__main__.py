"""python -m batch_share"""

from batch_share.cli.app import main

if __name__ == "__main__":
    main()
