//! The targets that ship with kiln, in the program itself.

/// Name and text of each, sorted by name. A test holds this list and the folder together.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    ("almalinux-10+epel-x86_64", include_str!("../../../../targets/almalinux-10+epel-x86_64.toml")),
    ("almalinux-10-x86_64", include_str!("../../../../targets/almalinux-10-x86_64.toml")),
    ("almalinux-8+epel-x86_64", include_str!("../../../../targets/almalinux-8+epel-x86_64.toml")),
    ("almalinux-8-x86_64", include_str!("../../../../targets/almalinux-8-x86_64.toml")),
    ("almalinux-9+epel-x86_64", include_str!("../../../../targets/almalinux-9+epel-x86_64.toml")),
    ("almalinux-9-x86_64", include_str!("../../../../targets/almalinux-9-x86_64.toml")),
    ("amazonlinux-2023-x86_64", include_str!("../../../../targets/amazonlinux-2023-x86_64.toml")),
    ("azure-linux-3-x86_64", include_str!("../../../../targets/azure-linux-3-x86_64.toml")),
    (
        "centos-stream-10+epel-x86_64",
        include_str!("../../../../targets/centos-stream-10+epel-x86_64.toml"),
    ),
    ("centos-stream-10-x86_64", include_str!("../../../../targets/centos-stream-10-x86_64.toml")),
    (
        "centos-stream-9+epel-x86_64",
        include_str!("../../../../targets/centos-stream-9+epel-x86_64.toml"),
    ),
    ("centos-stream-9-x86_64", include_str!("../../../../targets/centos-stream-9-x86_64.toml")),
    ("fedora-42-x86_64", include_str!("../../../../targets/fedora-42-x86_64.toml")),
    ("fedora-43-x86_64", include_str!("../../../../targets/fedora-43-x86_64.toml")),
    ("fedora-44-x86_64", include_str!("../../../../targets/fedora-44-x86_64.toml")),
    ("fedora-45-x86_64", include_str!("../../../../targets/fedora-45-x86_64.toml")),
    ("fedora-rawhide-x86_64", include_str!("../../../../targets/fedora-rawhide-x86_64.toml")),
    (
        "opensuse-leap-15.6-x86_64",
        include_str!("../../../../targets/opensuse-leap-15.6-x86_64.toml"),
    ),
    (
        "opensuse-leap-16.0-x86_64",
        include_str!("../../../../targets/opensuse-leap-16.0-x86_64.toml"),
    ),
    (
        "opensuse-tumbleweed-x86_64",
        include_str!("../../../../targets/opensuse-tumbleweed-x86_64.toml"),
    ),
    ("rocky-10+epel-x86_64", include_str!("../../../../targets/rocky-10+epel-x86_64.toml")),
    ("rocky-10-x86_64", include_str!("../../../../targets/rocky-10-x86_64.toml")),
    ("rocky-8+epel-x86_64", include_str!("../../../../targets/rocky-8+epel-x86_64.toml")),
    ("rocky-8-x86_64", include_str!("../../../../targets/rocky-8-x86_64.toml")),
    ("rocky-9+epel-x86_64", include_str!("../../../../targets/rocky-9+epel-x86_64.toml")),
    ("rocky-9-x86_64", include_str!("../../../../targets/rocky-9-x86_64.toml")),
];
