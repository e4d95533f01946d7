// All of an ONNX graph must lie in its own bytes: no tensor in another file, by its path (R17).
#pragma once

#include <string>
#include <string_view>

namespace trml::core {

// Refuse bytes that are no ONNX graph, or one of which a part lies in another file, with an
// ArtefactMismatch that has `source` at its head.
void check_graph(std::string_view data, const std::string& source);

}  // namespace trml::core
