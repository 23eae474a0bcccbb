"""Collect the pages of a web site to learn from, as its robots.txt allows, and add them; uses the network."""

from __future__ import annotations

import argparse
import time

from endonym.cli.console import Console, seconds
from endonym.cli.parser import open_project
from endonym.errors import DataError, UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym collect`."""
    parser.add_argument(
        "urls", nargs="+", metavar="URL", help="Pages, feeds (RSS, Atom) or sitemaps to begin with; links are followed on their sites."
    )  # fmt: skip
    group = parser.add_argument_group("How much and how fast")
    group.add_argument(
        "--pages",
        type=int,
        default=100,
        metavar="N",
        help="Ask for at most this many pages of each site. (default: 100)",
    )
    group.add_argument(
        "--depth",
        type=int,
        default=3,
        metavar="N",
        help="Follow links this far; 0 takes the addresses given. (default: 3)",
    )
    group.add_argument(
        "--delay",
        type=float,
        default=1.0,
        metavar="S",
        help="Seconds between two calls to a site, more where its robots.txt says so. (default: 1)",
    )
    group.add_argument("--offline", action="store_true", help="Make no outgoing call: add what was collected before.")
    about = parser.add_argument_group("About the pages")
    about.add_argument(
        "--licence", metavar="TEXT", default="", help="Licence of the pages; without it each page's own mark counts."
    )
    about.add_argument("--attribution", metavar="TEXT", default="", help="Whom to credit; goes into the model card.")
    parser.epilog = (
        "Pages are kept as they came in raw/collected/SITE/pages.warc.gz, with address and date. Stop it whenever you like: the "
        "same command goes on where it stopped. Ask the site's owners before you publish what a model learned from it."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Say what will be fetched, fetch it, and say what came; the exit code is 4 when a site gave no text."""
    from endonym.ingest.collect import collect, plan, sites_of
    from endonym.ingest.crawl import Limits

    if args.pages < 1 or args.depth < 0 or args.delay < 0:
        raise UsageError("--pages must be 1 or more, --depth and --delay 0 or more", "Correct the number.")
    project, limits = open_project(args), Limits(args.pages, args.depth, args.delay)
    sites = sites_of(args.urls)
    if not args.offline:
        console.say(plan(project, sites, limits))
    started, done = time.monotonic(), []

    def progress(url: str, number: int, total: int) -> None:
        console.say(f"  {number + 1}/{total}  {url}")

    for site, urls in sites.items():
        done.append(collect(project, site, urls, limits, progress, licence=args.licence, attribution=args.attribution,
                            offline=args.offline))  # fmt: skip
    texts = []
    for one in done:
        console.say(
            f"\n{one.site}: {one.pages} new pages, {one.unchanged} unchanged, {one.waiting} addresses waiting, in {seconds(time.monotonic() - started)}"
        )
        for reason, number in one.left_out.most_common():
            console.say(f"  {number} left out: {reason}")
        texts += ["\n".join(one.finding.lines())] if one.finding else []
    console.result({"sites": [one.as_json() for one in done]}, "\n\n".join(texts))
    good = [one for one in done if one.finding and one.finding.ok]
    if good and any(one.waiting for one in done):
        console.say("\nThe same command again fetches the next pages. To learn from these: endonym run")
    elif good:
        console.say("\nNext: endonym run")
    return 0 if len(good) == len(done) else DataError.exit_code
