"""The loops around the functions of a network: for every few groups each function in turn, for all of these groups."""

from string import Template

from compdistort.backend.bitsliced.layout import Layout, Shape
from compdistort.backend.bitsliced.program import Program
from compdistort.backend.bitsliced.words import Writer

_LOOPS = Template("""
define void @forest(
    ptr %codes, i64 %stride, i64 %groups, ptr %scratches, ptr %parts, i64 %n_parts, ptr %out, i64 %row
) {
start:
  br label %panel
panel:
  %p = phi i64 [ 0, %start ], [ %p.next, %panel.end ]
  %p.next = add i64 %p, $GROUPS
  %more = icmp ult i64 %p.next, %groups
  %end = select i1 %more, i64 %p.next, i64 %groups
  br label %clear
clear:
  %g0 = phi i64 [ %p, %panel ], [ %g0.next, %clear ]
  %r0 = sub i64 %g0, %p
  %b0 = mul i64 %r0, $BYTES
  %scratch0 = getelementptr i8, ptr %scratches, i64 %b0
$CLEAR
  %g0.next = add i64 %g0, 1
  %again0 = icmp ult i64 %g0.next, %end
  br i1 %again0, label %clear, label %parts.begin
parts.begin:
  %none = icmp eq i64 %n_parts, 0
  br i1 %none, label %back, label %part
part:
  %k = phi i64 [ 0, %parts.begin ], [ %k.next, %part.end ]
  %at = getelementptr ptr, ptr %parts, i64 %k
  %function = load ptr, ptr %at
  %is_table = icmp ult i64 %k, $TABLES
  %slot = select i1 %is_table, i64 %k, i64 0
  %skip = mul i64 %slot, %stride
  %plane = getelementptr i8, ptr %codes, i64 %skip
  br label %call
call:
  %g1 = phi i64 [ %p, %part ], [ %g1.next, %call ]
  %r1 = sub i64 %g1, %p
  %b1 = mul i64 %r1, $BYTES
  %scratch1 = getelementptr i8, ptr %scratches, i64 %b1
  %c1 = mul i64 %g1, $CODES
  %source = getelementptr i8, ptr %plane, i64 %c1
  call void %function(ptr %source, ptr %scratch1)
  %g1.next = add i64 %g1, 1
  %again1 = icmp ult i64 %g1.next, %end
  br i1 %again1, label %call, label %part.end
part.end:
  %k.next = add i64 %k, 1
  %further = icmp ult i64 %k.next, %n_parts
  br i1 %further, label %part, label %back
back:
  %g2 = phi i64 [ %p, %parts.begin ], [ %p, %part.end ], [ %g2.next, %back ]
  %r2 = sub i64 %g2, %p
  %b2 = mul i64 %r2, $BYTES
  %scratch2 = getelementptr i8, ptr %scratches, i64 %b2
  %o2 = mul i64 %g2, $WORD
  %out2 = getelementptr i8, ptr %out, i64 %o2
$BACK
  %g2.next = add i64 %g2, 1
  %again2 = icmp ult i64 %g2.next, %end
  br i1 %again2, label %back, label %panel.end
panel.end:
  br i1 %more, label %panel, label %stop
stop:
  ret void
}
""")


def entry(program: Program, shape: Shape, code_bytes: int) -> str:
    """Return the text of the function that is called from outside.

    Parameters
    ----------
    program : Program
        The network.
    shape : Shape
        How the code is cut.
    code_bytes : int
        1 or 2: size of a code.

    Returns
    -------
    str
        ``forest(codes, stride, groups, scratch, functions, n_functions, out, out_stride)``, strides in bytes: clears
        the counter, calls the functions (those of the features first) and writes the counter's planes.
    """
    layout = Layout.of(program)
    clear, back = Writer(shape.group), Writer(shape.group)
    for k in range(program.counter_bits):
        clear.store("zeroinitializer", layout.counter + k)
        _in_order(back, back.load(layout.counter + k), k)
    return _LOOPS.substitute(
        GROUPS=shape.groups,
        BYTES=layout.size * shape.group // 8,
        WORD=shape.group // 8,
        CODES=shape.group * code_bytes,
        TABLES=len(program.shifts),
        CLEAR=_renamed(clear, "0"),
        BACK=_renamed(back, "2"),
    )


def _renamed(w: Writer, tag: str) -> str:
    """Lines of a writer inside another function: its names get an ending of their own."""
    text = "\n".join(w.lines).replace("%scratch,", f"%scratch{tag},").replace("%out,", f"%out{tag},")
    return text.replace("%v", f"%v{tag}.")


def _in_order(w: Writer, plane: str, k: int) -> None:
    """Write a plane to the output with its pixels in order."""
    n = w.bytes
    row = w.put(f"mul i64 %row, {k}")
    to = w.put(f"getelementptr i8, ptr %out, i64 {row}")
    x = w.put(f"bitcast {w.word} {plane} to <{n} x i8>")
    for bit in range(8):
        value = 1 << bit if bit < 7 else -128
        mask = "<" + ", ".join([f"i8 {value}"] * n) + ">"
        chosen = w.put(f"and <{n} x i8> {x}, {mask}")
        is_set = w.put(f"icmp ne <{n} x i8> {chosen}, zeroinitializer")
        bits = w.put(f"bitcast <{n} x i1> {is_set} to i{n}")
        at = w.address(to, bit * n // 8)
        w.lines.append(f"  store i{n} {bits}, ptr {at}, align {n // 8}")
