"""Print a flow of N no-op steps in a row: `chain.py PACKAGE N`, where PACKAGE is dovetail or metaflow."""

import sys

package, count = sys.argv[1], int(sys.argv[2])
names = ["start", *(f"s{i}" for i in range(count - 2)), "end"]
print(f"from {package} import FlowSpec, step\n\n\nclass Chain(FlowSpec):")
for name, following in zip(names, [*names[1:], None], strict=True):
    print(f"    @step\n    def {name}(self):\n        {f'self.next(self.{following})' if following else 'pass'}\n")
print('\nif __name__ == "__main__":\n    Chain()')
