//! The last program of `cargo test --workspace`: tells which tests were skipped, and for want of what.

fn main() -> std::io::Result<()> {
    let skipped = trefoil_tests::take()?;
    for (name, want) in &skipped {
        println!("skipped: {name}: {want}");
    }
    match skipped.len() {
        0 => println!("no test was skipped"),
        1 => println!("1 test was skipped"),
        count => println!("{count} tests were skipped"),
    }
    Ok(())
}
