"""The process of message-db-py: it reads jobs from stdin, a line each, and writes what they took to stdout."""

import json
import os
import resource
import sys
import threading
import time

sys.path.insert(0, os.environ["MESSAGE_DB_PY"])

from message_db.client import MessageDB  # noqa: E402


def perform(store, job):
    name, count, size = job["name"], job["count"], job["batchSize"]
    operation, message = job["operation"], job["message"]
    clients = job["connections"]
    calls = {
        "write": count,
        "writeBatch": count // size,
        "readStream": count // size,
        "fetch": count // size,
        "readCategory": clients,
    }[operation]

    def once(worker, call):
        if operation == "write":
            stream = f"{name}x{worker}-1" if job["many"] else f"{name}-{worker}"
            store.write(stream, message["type"], message["data"], message["metadata"])
            return 1
        if operation == "writeBatch":
            record = (message["type"], message["data"], message["metadata"])
            store.write_batch(f"{name}-{call}", [record] * size)
            return size
        if operation == "readStream":
            return len(store.read_stream(f"{name}-{call % job['streams']}", no_of_messages=size))
        if operation == "fetch":
            balance, folded = 0, 0
            for row in store.read_stream(f"{name}-{call % job['streams']}", no_of_messages=1000):
                balance, folded = balance + row["data"]["amount"], folded + 1
            return folded
        group = (worker, clients) if clients > 1 else (None, None)
        read, position = 0, 1
        while True:
            page = store.read_category(name, position, size, *group)
            read += len(page)
            if len(page) < size:
                return read
            position = page[-1]["global_position"] + 1

    lock = threading.Lock()
    begun, messages, latencies, errors = 0, 0, [], []

    def work(worker):
        nonlocal begun, messages
        try:
            while True:
                with lock:
                    if begun >= calls:
                        return
                    call = begun
                    begun += 1
                start = time.perf_counter()
                done = once(worker, call)
                latency = (time.perf_counter() - start) * 1000
                with lock:
                    messages += done
                    latencies.append(latency)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return messages, latencies


def forget_peak_memory():
    """From now on, the most memory is what this process has or will have, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def run(job):
    store = MessageDB.from_url(
        job["url"],
        max_connections=job["connections"],
        options="-c search_path=message_store,public",
    )
    try:
        # The pool keeps only so many connections open that it opened them at the start.
        pool = store.connection_pool
        pool._connection_pool.minconn = job["connections"]
        size = min(10, job["batchSize"])
        warm = {"name": "w" + job["name"], "batchSize": size, "count": 8 * job["connections"] * size}
        perform(store, {**job, **warm})
        forget_peak_memory()
        cpu, start = time.process_time(), time.perf_counter()
        messages, latencies = perform(store, job)
        return {
            "messages": messages,
            "seconds": time.perf_counter() - start,
            "latencies": latencies,
            "cpu": (time.process_time() - cpu) * 1000,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    finally:
        store.connection_pool.closeall()


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
