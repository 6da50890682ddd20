//! CycloneDX 1.6 as JSON (cyclonedx.org/docs/1.6/json).

use kiln_attest::{purl, rfc3339};
use kiln_model::Digest;
use serde_json::{Value, json};

use crate::license::is_expression;
use crate::{Bill, Package, Role};

pub(crate) fn document(bill: &Bill) -> Value {
    let is_made = |roles: &[Role]| roles.iter().any(|role| *role <= Role::Source);
    let (mut made, mut used) = (Vec::new(), Vec::new());
    for (package, roles) in bill.packages() {
        if is_made(roles) { made.push(of(package)) } else { used.push(of(package)) }
    }
    let files = bill.files.iter().map(|(name, digest)| of_file(name, digest));
    used.extend(files);
    let refs: Vec<&str> = made.iter().filter_map(|one| one["bom-ref"].as_str()).collect();
    let about = format!("urn:kiln:bill:{}", Digest::of(bill.address.as_bytes()).short());
    let mut dependencies = vec![json!({ "ref": about, "dependsOn": refs })];
    dependencies.extend(refs.iter().map(|one| json!({ "ref": one })));
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(bill.made_at),
            "tools": { "components": [
                { "type": "application", "name": "kiln", "version": bill.kiln },
            ] },
            "component": {
                "type": "application",
                "bom-ref": about,
                "name": bill.name,
                "externalReferences": [{ "type": "build-meta", "url": bill.address }],
            },
        },
        "dependencies": dependencies,
        "components": made,
    });
    if !used.is_empty() {
        // What a build was made with is not in what it made.
        document["formulation"] = json!([{ "bom-ref": "formula", "components": used }]);
    }
    let serial = serial(&kiln_attest::canonical(&document));
    document["serialNumber"] = format!("urn:uuid:{serial}").into();
    document
}

fn of(package: &Package) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": format!("{}#{}", purl(&package.nevra), package.digest.short()),
        "name": package.nevra.name(),
        "version": package.nevra.evr(),
        "purl": purl(&package.nevra),
        "hashes": [{ "alg": "SHA-256", "content": package.digest.hex() }],
    });
    if let Some(license) = &package.license {
        value["licenses"] = match is_expression(license) {
            true => json!([{ "expression": license }]),
            false => json!([{ "license": { "name": license } }]),
        };
    }
    if let Some(summary) = &package.summary {
        value["description"] = summary.as_str().into();
    }
    if let Some(vendor) = &package.vendor {
        value["supplier"] = json!({ "name": vendor });
    }
    if let Some(url) = &package.url {
        value["externalReferences"] = json!([{ "type": "website", "url": url }]);
    }
    value
}

fn of_file(name: &str, digest: &Digest) -> Value {
    json!({
        "type": "file",
        "bom-ref": format!("file:{name}#{}", digest.short()),
        "name": name,
        "hashes": [{ "alg": "SHA-256", "content": digest.hex() }],
    })
}

/// A UUID that says that it is of somebody's own making (RFC 9562, version 8): of the content.
fn serial(content: &[u8]) -> String {
    let mut bytes = Digest::of(content).as_bytes()[..16].to_vec();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn package(nevra: &str, license: &str) -> Package {
        let nevra: kiln_model::Nevra = nevra.parse().expect("a NEVRA");
        let digest = Digest::of(nevra.to_string().as_bytes());
        Package { license: Some(license.to_owned()), ..Package::new(nevra, digest) }
    }

    fn bill() -> Bill {
        let address = "https://kiln.example.org/jobs/1/sbom".to_owned();
        let mut bill = Bill::new("pot-1-1".to_owned(), address, 1_796_083_199_000, "0.1.0");
        bill.add(package("pot-1-1.x86_64", "MIT"), Role::Subject);
        bill.add(package("pot-1-1.src", "MIT"), Role::Source);
        bill.add(package("bash-5-1.x86_64", "GPLv3+ and others"), Role::Buildroot);
        bill.add(package("rpm-4-1.x86_64", "GPL-2.0-or-later"), Role::Buildroot);
        bill.add(package("rpm-4-1.x86_64", "GPL-2.0-or-later"), Role::Toolbox);
        bill.files.insert("pot.spec".to_owned(), Digest::of(b"spec"));
        bill
    }

    fn read(format: Format) -> Value {
        serde_json::from_slice(&bill().to_bytes(format)).expect("JSON")
    }

    #[test]
    fn what_was_made_and_what_it_was_made_with_are_told_apart() {
        let document = read(Format::CycloneDx);
        let names = |list: &Value| -> Vec<String> {
            let list = list.as_array().expect("a list").iter();
            list.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
        };
        assert_eq!(names(&document["components"]), ["pot", "pot"]);
        assert_eq!(names(&document["formulation"][0]["components"]), ["bash", "rpm", "pot.spec"]);
        let licenses = &document["formulation"][0]["components"][0]["licenses"];
        assert_eq!(licenses[0]["license"]["name"], "GPLv3+ and others");
        let serial = document["serialNumber"].as_str().expect("a number");
        assert_eq!((serial.len(), serial.as_bytes()[23]), (45, b'8'), "{serial}");
        assert_eq!(bill().to_bytes(Format::CycloneDx), bill().to_bytes(Format::CycloneDx));
    }

    #[test]
    fn relations_of_spdx_lead_to_what_is_there() {
        let document = read(Format::Spdx);
        let packages = document["packages"].as_array().expect("a list");
        let ids: Vec<&str> = packages.iter().filter_map(|one| one["SPDXID"].as_str()).collect();
        assert_eq!(ids.len(), 5);
        let mut how = Vec::new();
        for relation in document["relationships"].as_array().expect("a list") {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                let id = relation[end].as_str().expect("an id");
                assert!(id == "SPDXRef-DOCUMENT" || ids.contains(&id), "{id}");
            }
            how.push(relation["relationshipType"].as_str().expect("a type"));
        }
        how.sort_unstable();
        let all = ["BUILD_DEPENDENCY_OF", "BUILD_DEPENDENCY_OF", "BUILD_TOOL_OF", "CONTAINS"];
        assert_eq!(how, [&all[..], &["DESCRIBES", "DESCRIBES"]].concat());
        let custom = document["hasExtractedLicensingInfos"].as_array().expect("a list");
        assert_eq!(custom.len(), 1, "only what is not on SPDX's list");
    }
}
