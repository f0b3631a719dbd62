//! Every operator and structure: the emulated program against the network in f32.
