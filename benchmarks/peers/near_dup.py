"""Remove near-duplicates with one program and print what it keeps and what that took; run by `clean.py`, in the program's environment."""

import json
import resource
import sys
import time


def main():
    """`near_dup.py PROGRAM FILE`: FILE has a text as JSON on each line."""
    program, file = sys.argv[1:]
    with open(file, encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    remove = globals()[program]
    prepared = remove(["abcdefgh", "abcdefghi"])  # imports and compiles outside of what is timed
    assert 0 in prepared
    started, wall = time.process_time(), time.perf_counter()
    kept = remove(texts)
    spent = {"cpu_seconds": time.process_time() - started, "wall_seconds": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**spent, "mebibytes": peak, "kept": sorted(kept)}))


def grams(text):
    """Character 5-grams."""
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def endonym(texts):
    """Ours, normalising included."""
    from endonym.data.near_dup import clusters

    return {i for i, first in enumerate(clusters(texts, 0.8)) if i == first}


def datasketch(texts):
    """MinHashLSH of datasketch, 128 hashes, in bulk."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.8, num_perm=128)
    kept = set()
    sets = ([gram.encode() for gram in grams(text)] for text in texts)
    for i, sketch in enumerate(MinHash.generator(sets, num_perm=128, seed=1)):
        if not index.query(sketch):
            index.insert(i, sketch)
            kept.add(i)
    return kept


def rensa(texts):
    """RMinHash and its LSH, as in the package's own example."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.8, num_perm=128, num_bands=32)
    kept = set()
    for i, sketch in enumerate(RMinHash.from_token_sets([list(grams(text)) for text in texts], 128, 42)):
        if not index.query(sketch):
            index.insert(i, sketch)
            kept.add(i)
    return kept


def gaoya(texts):
    """MinHashStringIndex of gaoya (Rust), its own character 5-grams."""
    from gaoya.minhash import MinHashStringIndex

    index = MinHashStringIndex(32, 0.8, 25, 5, 125, "char", True, (5, 5))
    kept = set()
    for i, text in enumerate(texts):
        if not index.query(text):
            index.insert_document(i, text)
            kept.add(i)
    return kept


def datatrove(texts):
    """The signatures of datatrove's MinHash (its four steps pass files; here buckets are compared in memory, which is less work)."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature("/tmp", MinhashConfig(num_buckets=25, hashes_per_bucket=5, n_grams=5))
    import numpy as np

    seen = [{} for _ in range(25)]
    kept = set()
    for i, text in enumerate(texts):
        # Its shingles are of words; every letter is made a word, so that 5-grams are those of letters.
        shingles = np.fromiter((step._hash_func(gram.encode()) for gram in grams(text)), dtype=np.uint64)[:, None]
        signature = step.get_signature(shingles)
        keys = [tuple(bucket) for bucket in signature]
        if not any(key in own for key, own in zip(keys, seen)):
            kept.add(i)
        for key, own in zip(keys, seen):
            own.setdefault(key, i)
    return kept


if __name__ == "__main__":
    main()
