"""The report of a study: one HTML page that needs no network, its machine-readable twin, and tables as CSV.

Importing this package draws nothing in; `write_report` loads matplotlib when it is called.
"""

from pathlib import Path

from compdistort.report.inputs import CodecImage, ReportInput

__all__ = ["CodecImage", "ReportInput", "write_report"]


def write_report(report: ReportInput, folder: Path) -> Path:
    """Write ``index.html``, ``report.json`` and ``tables/*.csv`` into a folder.

    Every file appears whole or not at all, the page last. Equal input gives equal bytes. ``report.json`` holds no
    timings, sessions or absolute paths, so it is the same for any number of threads or interruptions.

    Parameters
    ----------
    report : ReportInput
        What to show.
    folder : Path
        Made if it does not exist; an older report in it is replaced.

    Returns
    -------
    Path
        The page, ``folder/index.html``.

    Raises
    ------
    ResourceError
        If the folder cannot be written to.
    """
    from compdistort.report.document import write_document  # noqa: PLC0415 (loads matplotlib)

    return write_document(report, folder)
