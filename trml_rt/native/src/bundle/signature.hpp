// Hold a bundle to its signature: OpenSSF Model Signing v1.0, its method "key". The Python reader
// checks the same (trml_rt/bundle/signature.py).
#pragma once

#include <string>

#include "bundle/folder.hpp"

namespace trml::core {

// Every file of the bundle's folder, and no other, must be what the owner of `key`, a file with a
// public key, has signed (S1 to S4).
void check_signature(const Bundle& bundle, const std::string& key);

}  // namespace trml::core
