#!/bin/sh
# Called by cargo in place of the compiler: our own crates get LLVM's coverage instrumentation (what
# `cargo fuzz run --sanitizer none` passes), dependencies do not. Instrumented, tract would take longer
# to build than to fuzz, and would draw the fuzzer's attention to itself.
rustc=$1
shift
case " $* " in
*" --crate-name trefoil_"*)
    exec "$rustc" "$@" --cfg=fuzzing \
        -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*)
    exec "$rustc" "$@"
    ;;
esac
