//! The description of the API, made from the table of routes.

use kiln_access::Need;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, KnownFormat, ObjectBuilder, OpenApi, OpenApiBuilder,
    PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::{Route, routes};

/// The shape of what a route takes or gives.
pub(crate) struct Shape {
    here: RefOr<Schema>,
    named: Vec<(String, RefOr<Schema>)>,
}

impl Shape {
    pub(crate) fn of<T: ToSchema>() -> Self {
        let mut named = Vec::new();
        T::schemas(&mut named);
        let name = T::name();
        // Lists and the like have no name of their own: they stand where they are used.
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric())
            && !matches!(&*name, "Vec" | "Option" | "String" | "Page");
        let here = match is_plain {
            true => {
                named.push((name.to_string(), <T as PartialSchema>::schema()));
                RefOr::Ref(Ref::from_schema_name(&*name))
            }
            false => <T as PartialSchema>::schema(),
        };
        Self { here, named }
    }
}

/// The description as OpenAPI 3.1, of what clients use: not of what workers and dnf do.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let problem = Shape::of::<kiln_api::Problem>();
    let mut schemas = problem.named;
    // Of what stands in a page of a list alone, utoipa tells no name.
    schemas.extend(Shape::of::<kiln_api::Audited>().named);
    for route in routes().into_iter().filter(|route| route.path.starts_with("/api/")) {
        for shape in [&route.takes, &route.gives].into_iter().flatten() {
            schemas.extend(shape.named.iter().cloned());
        }
        paths = paths.path(route.path, PathItem::new(method_of(route.method), operation(&route)));
    }
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("token", SecurityScheme::Http(token))
        .build();
    let info = InfoBuilder::new()
        .title("kiln")
        .description(Some("Builds RPM packages: safe, exact, reproducible."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new().summary(Some(route.summary));
    for name in names_in(route.path) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(named(route.path, name)));
        operation = operation.parameter(parameter);
    }
    if route.is_once {
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("Asked for again with the same key, nothing more is made."))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(128))));
        operation = operation.parameter(parameter);
    }
    for parameter in &route.asks {
        operation = operation.parameter(parameter.clone());
    }
    if let Some(shape) = &route.takes {
        let body = RequestBodyBuilder::new()
            .content("application/json", Content::new(Some(shape.here.clone())))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    if let Some(kind) = route.sends {
        let body = RequestBodyBuilder::new().content(kind, Content::new(None::<RefOr<Schema>>));
        operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
    }
    let mut good = ResponseBuilder::new().description("It is done.");
    if let Some(shape) = &route.gives {
        good = good.content("application/json", Content::new(Some(shape.here.clone())));
    }
    if let Some(kind) = route.answers {
        good = good.content(kind, Content::new(None::<RefOr<Schema>>));
    }
    let problem = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name("Problem"))));
    let refused = ResponseBuilder::new()
        .description("It was refused, and why.")
        .content("application/problem+json", problem);
    operation = operation.response("2XX", good).response("default", refused);
    if route.need != Need::Nothing {
        let token = SecurityRequirement::new::<_, _, String>("token", []);
        operation = operation.security(token);
    }
    operation.build()
}

/// What a name in a path stands for.
fn named(path: &str, name: &str) -> ObjectBuilder {
    const NAME: &str = "^[a-z0-9]([a-z0-9_+-]|[.][a-z0-9_+-])*$";
    let text = |pattern: &str, longest| {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        text.pattern(Some(pattern)).max_length(Some(longest))
    };
    match name {
        "build" | "job" | "id" => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))),
        "format" => text("^(spdx|cyclonedx)$", 9),
        "digest" => text("^sha256:[0-9a-f]{64}$", 71),
        "target" => text("^[A-Za-z0-9]([.]?[A-Za-z0-9_+-])*[.]?$", 64),
        "name" if path.contains("/logs/") => text("^(build|root)$", 5),
        // File names of packages.
        "name" if path.contains("/artifacts/") => text("^[A-Za-z0-9][A-Za-z0-9._+~^-]*$", 255),
        _ => text(NAME, 63),
    }
}

fn method_of(word: &str) -> HttpMethod {
    match word {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
