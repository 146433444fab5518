//! The account of it all.

use super::{super::report, guide::Guide};

/// # Errors
/// Those of `relay report`.
pub async fn write(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let to = &guide.choices.report;
    let arguments = report::Arguments::into_file(to.clone());
    report::run(guide.context, arguments).await?;
    let whole = std::path::absolute(to)?;
    Ok(Some(format!("it is in {}", whole.display())))
}
