from benchmarks.seed_paper.records import Records
def publish(records, out): pass
