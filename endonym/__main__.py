"""`python -m endonym` is the `endonym` command."""

import sys

from endonym.cli.main import main

sys.exit(main())
