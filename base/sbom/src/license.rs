//! Licences as headers say them, which is not always as SPDX does.

use spdx::{AdditionItem, Expression, LicenseItem};

/// Whether a text is an expression of SPDX all of whose licences are on SPDX's list. What Fedora's
/// and Debian's older packages say (`GPLv2+ and MIT`) is not one, and nobody guesses what it means.
pub(crate) fn is_expression(text: &str) -> bool {
    let Ok(expression) = Expression::parse(text) else { return false };
    expression.requirements().all(|one| {
        let is_listed = matches!(one.req.license, LicenseItem::Spdx { .. });
        is_listed && !matches!(one.req.addition, Some(AdditionItem::Other(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_one_of_listed_licences() {
        for fine in [
            "MIT",
            "GPL-2.0-or-later AND (MIT OR Apache-2.0)",
            "GPL-3.0-or-later WITH GCC-exception-3.1",
        ] {
            assert!(is_expression(fine), "{fine}");
        }
        for other in [
            "",
            "GPLv2+",
            "GPLv2+ and MIT",
            "LicenseRef-Fedora-Public-Domain",
            "MIT, BSD",
            "Public Domain",
        ] {
            assert!(!is_expression(other), "{other}");
        }
    }
}
