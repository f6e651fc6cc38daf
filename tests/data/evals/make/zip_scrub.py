"""Rewrites a zip archive with other texts in its members. Names, order and compression stay."""

import zipfile

try:  # Inspect's archives use zstd, which Python reads since 3.14.
    import zipfile_zstd  # noqa: F401
except ImportError:
    pass


def rewrite(source, out, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            try:
                data = change(data.decode()).encode()
            except UnicodeDecodeError:
                pass
            member = zipfile.ZipInfo(info.filename, info.date_time)
            member.compress_type = info.compress_type
            member.external_attr = info.external_attr
            new.writestr(member, data)
