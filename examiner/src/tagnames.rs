//! Names of tags, by rpm's include/rpm/rpmtag.h.

/// The name of a tag of the main header.
pub(crate) fn of_header(tag: u32) -> String {
    find(HEADER, tag)
}

/// The name of a tag of the signature header, whose numbers mean other things from 1000 on.
pub(crate) fn of_signature(tag: u32) -> String {
    find(SIGNATURE, tag)
}

fn find(names: &[(u32, &str)], tag: u32) -> String {
    let found = names.iter().find(|(number, _)| *number == tag);
    found.map_or_else(|| tag.to_string(), |(_, name)| (*name).to_owned())
}

const HEADER: &[(u32, &str)] = &[
    (62, "headersignatures"), (63, "headerimmutable"), (100, "headeri18ntable"),
    (1000, "name"), (1001, "version"), (1002, "release"), (1003, "epoch"), (1004, "summary"),
    (1005, "description"), (1006, "buildtime"), (1007, "buildhost"), (1009, "size"),
    (1010, "distribution"), (1011, "vendor"), (1014, "license"), (1015, "packager"),
    (1016, "group"), (1018, "source"), (1019, "patch"), (1020, "url"), (1021, "os"),
    (1022, "arch"), (1023, "prein"), (1024, "postin"), (1025, "preun"), (1026, "postun"),
    (1028, "filesizes"), (1030, "filemodes"), (1033, "filerdevs"), (1034, "filemtimes"),
    (1035, "filedigests"), (1036, "filelinktos"), (1037, "fileflags"), (1039, "fileusername"),
    (1040, "filegroupname"), (1044, "sourcerpm"), (1045, "fileverifyflags"),
    (1046, "archivesize"), (1047, "providename"), (1048, "requireflags"), (1049, "requirename"),
    (1050, "requireversion"), (1053, "conflictflags"), (1054, "conflictname"),
    (1055, "conflictversion"), (1064, "rpmversion"), (1065, "triggerscripts"),
    (1066, "triggername"), (1067, "triggerversion"), (1068, "triggerflags"),
    (1069, "triggerindex"), (1079, "verifyscript"), (1080, "changelogtime"),
    (1081, "changelogname"), (1082, "changelogtext"), (1085, "preinprog"), (1086, "postinprog"),
    (1087, "preunprog"), (1088, "postunprog"), (1089, "buildarchs"), (1090, "obsoletename"),
    (1091, "verifyscriptprog"), (1092, "triggerscriptprog"), (1094, "cookie"),
    (1095, "filedevices"), (1096, "fileinodes"), (1097, "filelangs"), (1098, "prefixes"),
    (1106, "sourcepackage"), (1112, "provideflags"), (1113, "provideversion"),
    (1114, "obsoleteflags"), (1115, "obsoleteversion"), (1116, "dirindexes"),
    (1117, "basenames"), (1118, "dirnames"), (1122, "optflags"), (1123, "disturl"),
    (1124, "payloadformat"), (1125, "payloadcompressor"), (1126, "payloadflags"),
    (1132, "platform"), (1140, "filecolors"), (1141, "fileclass"), (1142, "classdict"),
    (1143, "filedependsx"), (1144, "filedependsn"), (1145, "dependsdict"),
    (1146, "sourcepkgid"), (1151, "pretrans"), (1152, "posttrans"), (5008, "longfilesizes"),
    (5009, "longsize"), (5010, "filecaps"), (5011, "filedigestalgo"), (5012, "bugurl"),
    (5017, "preinflags"), (5018, "postinflags"), (5019, "preunflags"), (5020, "postunflags"),
    (5034, "vcs"), (5046, "recommendname"), (5047, "recommendversion"), (5048, "recommendflags"),
    (5049, "suggestname"), (5062, "encoding"), (5066, "filetriggerin"), (5092, "payloadsha256"),
    (5093, "payloadsha256algo"), (5097, "payloadsha256alt"), (5096, "modularitylabel"),
    (5095, "identity"), (5099, "spec"), (5100, "translationurl"), (5101, "upstreamreleases"),
    (5102, "sourcelicense"), (5109, "sysusers"), (5111, "buildoption"), (5112, "payloadsize"),
    (5113, "payloadsizealt"), (5114, "rpmformat"), (5115, "filemimeindex"), (5116, "mimedict"),
    (5118, "packagedigests"), (5119, "packagedigestalgos"), (5120, "sourcenevr"),
    (5121, "payloadsha512"), (5122, "payloadsha512alt"), (5123, "payloadsha3_256"),
    (5124, "payloadsha3_256alt"),
];

const SIGNATURE: &[(u32, &str)] = &[
    (62, "headersignatures"), (267, "dsaheader"), (268, "rsaheader"), (269, "sha1header"),
    (270, "longsigsize"), (271, "longarchivesize"), (273, "sha256header"),
    (274, "filesignatures"), (275, "filesignaturelength"), (276, "veritysignatures"),
    (278, "openpgp"), (279, "sha3_256header"), (1000, "sigsize"), (1002, "sigpgp"),
    (1004, "sigmd5"), (1005, "siggpg"), (1007, "payloadsize"), (1008, "reservedspace"),
];

/// Tags of the signature header that only follow from what they are made over.
pub(crate) const FOLLOW_SIGNATURE: &[u32] =
    &[62, 269, 270, 271, 273, 279, 1000, 1004, 1007, 1008];

/// Tags of the main header that follow from the payload and the files in it: these are told by
/// file.
pub(crate) const FOLLOW_FILES: &[u32] = &[
    62, 63, 1009, 1028, 1030, 1033, 1034, 1035, 1036, 1037, 1039, 1040, 1046, 1095, 1096, 1116,
    1117, 1118, 5008, 5009, 5010, 5092, 5097, 5112, 5113, 5118, 5121, 5122, 5123,
    5124,
];
