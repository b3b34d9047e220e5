//! Links the library as a Node.js addon.

fn main() {
    napi_build::setup();
}
