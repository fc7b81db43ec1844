"""Start N copies of a command at once: `many.py N COMMAND...`. Prints how many succeeded, as MARK lines."""

import subprocess
import sys
import tempfile
import time

count, command = int(sys.argv[1]), sys.argv[2:]
begin = time.perf_counter()
outputs = [tempfile.TemporaryFile() for _ in range(count)]  # noqa: SIM115 - open until the end
processes = [subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) for output in outputs]
codes = [process.wait() for process in processes]
print("MARK last_end", time.perf_counter() - begin)
print("MARK ok", codes.count(0))
for code, output in zip(codes, outputs, strict=True):
    if code:
        output.seek(0)
        print("--- exit", code, output.read().decode(errors="replace")[-700:])
        break
