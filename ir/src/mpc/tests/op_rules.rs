//! The typing rule of each op: every way in which operands, constants or parameters can be wrong.

use crate::mpc::text::check_filetest;

/// Checks faulty lines in a program that has one value of each kind: `%0` an activation, `%1` an
/// accumulator and `%2` a truncated value of 2x4x4, and a constant of each kind.
fn check(lines: &str) {
    let source = format!(
        "program \"rules\" {{
  const c0 : weight[3,2,3,3]
  const c1 : bias[3]
  const c2 : multiplier[2]
  const c3 : level[2]
  const c4 : multiplier[2,3,3]
  %0 = input {{shape=[2, 4, 4]}} : act<2x4x4>
  %1 = lift %0 {{multiplier=c2}} : acc<2x4x4>
  %2 = truncate %1 {{keep=[15, 16]}} : tr<2x4x4>
{lines}
}}"
    );
    check_filetest(&source).unwrap_or_else(|differences| panic!("{differences}"));
}

#[test]
fn input_and_convolution() {
    check(
        "  %3 = input %0 {shape=[2, 4, 4]}        ; error: an input has no operand
  %4 = input {shape=[2, 0, 4]}           ; error: neither empty
  %5 = input {shape=[2, 99999999, 99999999]} ; error: nor of more than 268435456 elements
  %6 = input {shape=[2, 4]}              ; error: `shape` must be a list of as many elements
  %7 = input                             ; error: the attribute `shape` is missing
  %8 = conv2d %0 {weight=c0, bias=c1, channels=3, kernel=[3, 3]} : acc<3x2x2>
  %9 = conv2d %1 {weight=c0, channels=3, kernel=[3, 3]}  ; error: the operand must be act, and it is acc<2x4x4>
  %10 = conv2d %0, %0 {weight=c0, channels=3, kernel=[3, 3]} ; error: one operand is needed, and 2 are given
  %11 = conv2d %0 {weight=c1, channels=3, kernel=[3, 3]} ; error: c1 must be a weight, and it is a bias
  %12 = conv2d %0 {weight=c0, bias=c2, channels=3, kernel=[3, 3]} ; error: c2 must be a bias
  %13 = conv2d %0 {weight=c0, channels=3, kernel=[3, 2]} ; error: c0 must have the dimensions [3, 2, 3, 2]
  %14 = conv2d %0 {weight=c0, channels=4, kernel=[3, 3]} ; error: must have the dimensions [4, 2, 3, 3]
  %15 = conv2d %0 {weight=c0, channels=3, kernel=[3, 3], groups=2} ; error: 2 groups must divide 2 input and 3 output
  %16 = conv2d %0 {weight=c0, channels=3, kernel=[3, 3], groups=0} ; error: 0 groups must divide
  %17 = conv2d %0 {weight=c0, channels=3, kernel=[3, 3], dilation=[2, 1]} ; error: does not fit the padded map
  %18 = conv2d %0 {weight=c0, channels=3, kernel=[3, 3], stride=[0, 1]} ; error: must be positive
  %19 = conv2d %0 {weight=c9, channels=3, kernel=[3, 3]} ; error: the constant `c9` is not declared
  %20 = conv2d %0 {weight=3, channels=3, kernel=[3, 3]}  ; error: `weight` must be a constant such as c3
  %21 = conv2d %0 {weight=c0, channels=3, kernel=[3, 3], axis=c} ; error: no attribute `axis`",
    );
}

#[test]
fn multiples_of_activations() {
    check(
        "  %3 = lift %1 {multiplier=c2}           ; error: must be act
  %4 = lift %0 {multiplier=c3}           ; error: c3 must be a multiplier, and it is a level
  %5 = lift %0 {multiplier=c4}           ; error: c4 must have the dimensions [2]
  %6 = sum_pool %0 {kernel=[2, 2], multiplier=c4} : acc<2x3x3>
  %7 = sum_pool %2 {kernel=[2, 2], multiplier=c4} ; error: must be act, and it is tr<2x4x4>
  %8 = sum_pool %0 {kernel=[3, 3], multiplier=c4} ; error: must have the dimensions [2, 2, 2]
  %9 = sum_pool %0 {kernel=[9, 9], multiplier=c4} ; error: does not fit the padded map
  %10 = interpolate %0 {size=[8, 8], scales=[2.0, 2.0], mode=bilinear, coordinates=half_pixel} : acc<2x8x8>
  %11 = interpolate %1 {size=[8, 8], scales=[2.0, 2.0], mode=bilinear, coordinates=half_pixel} ; error: must be act
  %12 = interpolate %0 {size=[0, 8], scales=[2.0, 2.0], mode=bilinear, coordinates=half_pixel} ; error: empty
  %13 = interpolate %0 {size=[8, 8], scales=[-2.0, 2.0], mode=bilinear, coordinates=half_pixel} ; error: positive",
    );
}

#[test]
fn local_ops() {
    check(
        "  %3 = add %1, %1 : acc<2x4x4>
  %4 = add %0, %0                        ; error: two accumulators of one shape are needed
  %5 = add %1                            ; error: two operands are needed
  %6 = concat %1, %3 : acc<4x4x4>
  %7 = add %1, %6                        ; error: these are acc<2x4x4> and acc<4x4x4>
  %8 = concat %0, %1                     ; error: all activations or all accumulators
  %9 = concat %2, %2                     ; error: all activations or all accumulators
  %10 = concat                           ; error: at least one operand
  %11 = gather %0 {axis=h, index=[3, 0]} : act<2x2x4>
  %12 = concat %0, %11                   ; error: of one map size
  %13 = gather %0 {axis=h, index=[4]}    ; error: leave the axis of size 4
  %14 = gather %0 {axis=c, index=[]}     ; error: empty
  %15 = gather %2 {axis=c, index=[0]}    ; error: must be act or acc
  %16 = gather %0 {axis=n, index=[0]}    ; error: `axis` must be
  %17 = gather %0 {axis=c, index=[-1]}   ; error: `index` must be
  %18 = pad %1 {before=[0, 1, 1], after=[0, 0, 0]} : acc<2x5x5>
  %19 = pad %2 {before=[0, 1, 1], after=[0, 0, 0]} ; error: must be act or acc
  %20 = pad %0 {before=[0, 99999999, 0], after=[0, 0, 0]} ; error: more than 268435456 elements
  %21 = flatten %0 : act<32x1x1>
  %22 = flatten %2                       ; error: must be act or acc
  %23 = gather %21 {axis=h, index=[0*20000]} : act<32x20000x1>
  %24 = gather %23 {axis=w, index=[0*20000]} ; error: more than 268435456 elements",
    );
}

#[test]
fn gates_on_accumulators() {
    check(
        "  %3 = truncate %0 {keep=[16, 16]}       ; error: must be acc, and it is act
  %4 = truncate %2 {keep=[16, 16]}       ; error: must be acc, and it is tr
  %5 = truncate %1 {keep=[16]}           ; error: 15 or 16 for each of 2 channels
  %6 = truncate %1 {keep=[16, 14]}       ; error: 15 or 16 for each of 2 channels
  %7 = truncate %1 {keep=[16, 271]}      ; error: `keep` must be
  %8 = requant %2 : act<2x4x4>
  %9 = requant %1                        ; error: must be tr, and it is acc
  %10 = block_relu %2 {patches=[4x4, 1x1]} : act<2x4x4>
  %11 = block_relu %1 {patches=[1x1, 1x1]} ; error: must be tr
  %12 = block_relu %2 {patches=[1x1]}    ; error: one patch for each of 2 channels
  %13 = block_relu %2 {patches=[1x1, 5x1]} ; error: no larger than the map
  %14 = clip %2 {level=c3, lower=[1x1*2], upper=[0x1*2]} : act<2x4x4>
  %15 = clip %0 {level=c3, lower=[1x1*2], upper=[1x1*2]} ; error: must be tr
  %16 = clip %2 {level=c2, lower=[1x1*2], upper=[1x1*2]} ; error: c2 must be a level
  %17 = clip %2 {level=c3, lower=[1x1*3], upper=[1x1*2]} ; error: one patch for each
  %18 = clip %2 {level=c3, lower=[1x1*2], upper=[1x9*2]} ; error: no larger than the map
  %19 = block_relu %2 {patches=[0x0, 1x1]} ; error: a patch has two sides",
    );
}

#[test]
fn gates_on_activations_and_reveal() {
    check(
        "  %3 = relu %0 {patches=[1x1, 0x1]} : act<2x4x4>
  %4 = relu %1 {patches=[1x1, 1x1]}      ; error: must be act
  %5 = relu %0 {patches=[1x1]}           ; error: the patch of each of 2 channels
  %6 = relu %0 {patches=[1x1, 2x2]}      ; error: must be a pixel or the identity
  %7 = max %0, %3 {non_negative=true} : act<2x4x4>
  %8 = max %1, %1 {non_negative=true}    ; error: two activations of one shape
  %9 = max %0 {non_negative=true}        ; error: two activations
  %10 = max %0, %3                       ; error: `non_negative` is missing
  %11 = max %0, %3 {non_negative=1}      ; error: `non_negative` must be
  %12 = reveal %1                        ; error: must be tr or act, and it is acc
  %13 = reveal %2 : out<2x4x4>
  %14 = relu %13 {patches=[1x1, 1x1]}    ; error: must be act, and it is out
  %15 = reveal %13                       ; error: must be tr or act, and it is out",
    );
}
