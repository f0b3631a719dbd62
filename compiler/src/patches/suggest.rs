//! "Did you mean …": the known name that is closest to a misspelt one.

use trefoil_ir::text::edit_distance;

/// The candidate that takes the fewest edits to reach, if they are few for a name of this length.
pub(super) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 3).max(2);
    candidates
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, expected) in [("kitten", "sitting", 3), ("", "ab", 2), ("same", "same", 0)] {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["/layer1/relu1/Relu", "/layer2/relu1/Relu"];
        assert_eq!(
            closest("/layer2/relu/Relu", names.into_iter()),
            Some("/layer2/relu1/Relu")
        );
        assert_eq!(closest("Conv_17", names.into_iter()), None);
    }
}
