//! Pages of a listing, by cursor: which rows one holds, and whether more follow.

/// What a client asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The most rows.
    pub(super) limit: usize,
    /// Rows behind this one.
    pub(super) after: Option<&'a str>,
    /// Rows before this one.
    pub(super) before: Option<&'a str>,
}

/// A page of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Places of its rows in the listing.
    pub(super) rows: Vec<usize>,
    /// Whether more rows follow in the direction of the walk.
    pub(super) has_more: bool,
}

/// Cuts a page out of `rows`, each an id and whether it is shown. Rows that are not shown any more
/// still hold a cursor's place. `None` if a cursor is none of the ids.
pub(super) fn page(rows: &[(&str, bool)], wanted: Wanted<'_>) -> Option<Page> {
    let place = |id: &str| rows.iter().position(|(row, _)| *row == id);
    let from = match wanted.after {
        Some(id) => place(id)? + 1,
        None => 0,
    };
    let to = match wanted.before {
        Some(id) => place(id)?,
        None => rows.len(),
    };
    let mut shown: Vec<usize> = (from..to).filter(|at| rows[*at].1).collect();
    let has_more = shown.len() > wanted.limit;
    if wanted.before.is_some() && wanted.after.is_none() {
        // Walking back: the page that ends where the last one began.
        shown.drain(..shown.len().saturating_sub(wanted.limit));
    } else {
        shown.truncate(wanted.limit);
    }
    Some(Page {
        rows: shown,
        has_more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(shown: &[bool]) -> Vec<(String, bool)> {
        let named = shown.iter().enumerate();
        named
            .map(|(n, shown)| (format!("row_{n}"), *shown))
            .collect()
    }

    fn borrowed(rows: &[(String, bool)]) -> Vec<(&str, bool)> {
        rows.iter()
            .map(|(id, shown)| (id.as_str(), *shown))
            .collect()
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_listing(shown in prop::collection::vec(any::<bool>(), 0..60), limit in 1usize..20) {
            let rows = rows(&shown);
            let rows = borrowed(&rows);
            let all: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].1).collect();
            let mut seen: Vec<usize> = Vec::new();
            let mut after = None;
            loop {
                let page = page(&rows, Wanted { limit, after, before: None }).unwrap();
                prop_assert!(page.rows.len() <= limit);
                seen.extend(&page.rows);
                if !page.has_more {
                    break;
                }
                prop_assert_eq!(page.rows.len(), limit);
                after = page.rows.last().map(|at| rows[*at].0);
            }
            prop_assert_eq!(&seen, &all);
            let (mut back, mut before): (Vec<usize>, _) = (Vec::new(), Some("end"));
            let mut with_end = rows.clone();
            with_end.push(("end", false));
            loop {
                let page = page(&with_end, Wanted { limit, after: None, before }).unwrap();
                back.splice(0..0, page.rows.iter().copied());
                if !page.has_more {
                    break;
                }
                before = page.rows.first().map(|at| with_end[*at].0);
            }
            prop_assert_eq!(&back, &all);
        }

        #[test]
        fn a_row_that_goes_in_the_middle_moves_no_other(count in 2usize..40, limit in 1usize..10, gone in any::<prop::sample::Index>()) {
            let mut rows = rows(&vec![true; count]);
            let gone = gone.index(count);
            let first = page(&borrowed(&rows), Wanted { limit, after: None, before: None }).unwrap();
            let last = *first.rows.last().unwrap();
            rows[gone].1 = false;
            let cursor = rows[last].0.clone();
            let rest = page(&borrowed(&rows), Wanted { limit: count, after: Some(&cursor), before: None }).unwrap();
            let expected: Vec<usize> = (last + 1..count).filter(|at| *at != gone).collect();
            prop_assert_eq!(rest.rows, expected);
        }
    }

    #[test]
    fn an_unknown_cursor_is_told() {
        let rows = [("a", true)];
        let wanted = Wanted {
            limit: 1,
            after: Some("b"),
            before: None,
        };
        assert_eq!(page(&rows, wanted), None);
    }
}
