//! SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3, schemas/spdx-schema.json).

use std::collections::BTreeMap;

use kiln_attest::{purl, rfc3339};
use kiln_model::Digest;
use serde_json::{Value, json};

use crate::license::is_expression;
use crate::{Bill, Package, Role};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const NONE: &str = "NOASSERTION";

pub(crate) fn document(bill: &Bill) -> Value {
    let mut custom = Custom::default();
    let mut packages: Vec<Value> = Vec::new();
    let mut relations: Vec<Value> = Vec::new();
    let source = bill.packages().find(|(_, roles)| roles.contains(&Role::Source));
    let source = source.map(|(package, _)| id_of(package));
    for (package, roles) in bill.packages() {
        packages.push(of(package, roles, &mut custom));
        for role in roles {
            relations.extend(relation(package, *role, source.as_deref()));
        }
    }
    for (name, digest) in &bill.files {
        let id = file_id(name, digest);
        packages.push(of_file(name, digest, &id));
        if let Some(source) = &source {
            relations.push(relate(source, "CONTAINS", &id));
        }
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": bill.name,
        "documentNamespace": bill.address,
        "creationInfo": {
            "created": rfc3339(bill.made_at),
            "creators": [format!("Tool: kiln-{}", bill.kiln)],
        },
        "packages": packages,
        "relationships": relations,
    });
    if !custom.0.is_empty() {
        document["hasExtractedLicensingInfos"] = custom.list();
    }
    document
}

/// Licences that are not on SPDX's list: each is described by its own words.
#[derive(Default)]
struct Custom(BTreeMap<String, String>);

impl Custom {
    /// What stands for a licence.
    fn name(&mut self, license: &str) -> String {
        if is_expression(license) {
            return license.to_owned();
        }
        let id = format!("LicenseRef-{}", Digest::of(license.as_bytes()).short());
        self.0.insert(id.clone(), license.to_owned());
        id
    }

    fn list(&self) -> Value {
        let list = self.0.iter().map(|(id, text)| {
            let text = format!("The header of an RPM says: {text}");
            json!({ "licenseId": id, "name": "as the package says it", "extractedText": text })
        });
        list.collect()
    }
}

fn of(package: &Package, roles: &[Role], custom: &mut Custom) -> Value {
    let license = package.license.as_deref().map(|license| custom.name(license));
    let purpose = if package.nevra.arch() == "src" { "SOURCE" } else { "INSTALL" };
    let mut value = json!({
        "SPDXID": id_of(package),
        "name": package.nevra.name(),
        "versionInfo": package.nevra.evr(),
        "packageFileName": package.nevra.file_name(),
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": license.as_deref().unwrap_or(NONE),
        "copyrightText": NONE,
        "primaryPackagePurpose": purpose,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": package.digest.hex() }],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(&package.nevra),
        }],
    });
    if let Some(vendor) = &package.vendor {
        value["supplier"] = format!("Organization: {vendor}").into();
    }
    for (field, text) in [("summary", &package.summary), ("homepage", &package.url)] {
        if let Some(text) = text {
            value[field] = text.as_str().into();
        }
    }
    if roles == [Role::Toolbox] {
        value["comment"] = "It installed the buildroot.".into();
    }
    value
}

/// A source file: it has no SHA-1, without which SPDX 2.3 takes nothing for a file.
fn of_file(name: &str, digest: &Digest, id: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "packageFileName": name,
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "FILE",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": digest.hex() }],
    })
}

fn relation(package: &Package, role: Role, source: Option<&str>) -> Option<Value> {
    let id = id_of(package);
    Some(match (role, source) {
        (Role::Subject, _) => relate(DOCUMENT, "DESCRIBES", &id),
        (Role::Source, _) => relate(DOCUMENT, "DESCRIBES", &id),
        (Role::Buildroot, Some(source)) => relate(&id, "BUILD_DEPENDENCY_OF", source),
        (Role::Toolbox, Some(source)) => relate(&id, "BUILD_TOOL_OF", source),
        (Role::Buildroot | Role::Toolbox, None) => return None,
    })
}

fn relate(from: &str, how: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to })
}

fn id_of(package: &Package) -> String {
    file_id(&package.nevra.nvr(), &package.digest)
}

/// Letters, digits, dots and dashes are all that an id may have; the digest tells those apart that
/// differ in other characters.
fn file_id(name: &str, digest: &Digest) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().take(80).map(plain).collect();
    format!("SPDXRef-{name}-{}", digest.short())
}
