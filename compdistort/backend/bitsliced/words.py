"""Operations on words, as lines of LLVM's text."""

Value = tuple[str, bool]
"""Name of a word, empty for all zeros, and whether it is meant inverted."""

ZERO: Value = ("", False)
ONE: Value = ("", True)


class Writer:
    """Lines of one function, and the operations on words that write them."""

    def __init__(self, group: int) -> None:
        self.lines: list[str] = []
        self.bytes = group // 8
        self.word = f"<{group // 64} x i64>"
        self.ones = self.constant(-1)
        self._n = 0

    def constant(self, value: int) -> str:
        """Return a word of equal 64-bit numbers."""
        signed = value - 2**64 if value >= 2**63 else value
        return "<" + ", ".join([f"i64 {signed}"] * (self.bytes // 8)) + ">"

    def put(self, text: str) -> str:
        """Write an instruction; return the name of its result."""
        self._n += 1
        name = f"%v{self._n}"
        self.lines.append(f"  {name} = {text}")
        return name

    def two(self, operation: str, x: str, y: str) -> str:
        """Write an operation on two words."""
        return self.put(f"{operation} {self.word} {x}, {y}")

    def invert(self, x: str) -> str:
        """Return ``~x``."""
        return self.two("xor", x, self.ones)

    def and_not(self, x: str, y: str) -> str:
        """Return ``~x & y``."""
        return self.two("and", self.invert(x), y)

    def address(self, pointer: str, offset: int) -> str:
        """Return a pointer moved by so many bytes."""
        return self.put(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer

    def load(self, place: int) -> str:
        """Return the word at a place of the scratch memory."""
        at = self.address("%scratch", place * self.bytes)
        return self.put(f"load {self.word}, ptr {at}, align {self.bytes}")

    def fence(self) -> None:
        """Keep the loads that follow behind those before; LLVM would begin with all of them, and spill most."""
        self.lines.append('  call void asm sideeffect "", "~{memory}"()')

    def store(self, x: str, place: int) -> None:
        """Put a word at a place of the scratch memory."""
        at = self.address("%scratch", place * self.bytes)
        self.lines.append(f"  store {self.word} {x}, ptr {at}, align {self.bytes}")

    def plain(self, value: Value) -> str:
        """Return the name of a word that is not inverted."""
        name, inverted = value
        if not name:
            return self.ones if inverted else "zeroinitializer"
        return self.invert(name) if inverted else name

    def choose(self, c: str, left: Value, right: Value) -> Value:
        """Return ``c ? left : right``; what is inverted stays so, as no machine has all of the other forms."""
        if left == right:
            return left
        (x, x_inverted), (y, inverted) = left, right
        same = x_inverted == inverted
        if not x:
            return (self.and_not(c, y) if same else self.two("or", c, y)) if y else c, inverted
        if not y:
            return self.two("and", c, x) if same else self.and_not(x, c), inverted
        if same:
            return self.two("or", self.two("and", c, x), self.and_not(c, y)), inverted
        return self.two("xor", y, self.and_not(self.two("xor", x, y), c)), inverted

    def function(self, name: str) -> str:
        """Return the lines as a function."""
        return f"define void @{name}(ptr %codes, ptr %scratch) {{\n" + "\n".join(self.lines) + "\n  ret void\n}\n"
