// Fuzz target of the readers of files: manifest, engine manifest, graph, tokenizer with a text.
// Whatever the bytes are, they are read or refused with an Error; anything else is a finding.
#include <cstdint>
#include <string>
#include <string_view>

#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"
#include "bundle/graph.hpp"
#include "bundle/manifest.hpp"
#include "error.hpp"
#include "inputs/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    trml::core::read_manifest(bytes);
  } catch (const trml::core::Error&) {  // refused, as most inputs are
  }
  try {
    trml::core::read_engine_manifest(bytes, "manifest.json");
  } catch (const trml::core::Error&) {
  }
  try {
    trml::core::check_graph(bytes, "graph");
  } catch (const trml::core::Error&) {
  }
  try {
    const auto tokenizer = trml::core::Tokenizer::read(bytes, "tokenizer.json");
    trml::core::Scratch scratch;
    tokenizer->encode("It’s a good day, \xf0\x9f\x98\x82 &amp; [SEP] <b>naïve</b>!", scratch);
  } catch (const trml::core::Error&) {
  }
  try {
    // The bytes as a text, with a tokenizer that is known to be good.
    static const auto good = trml::core::Tokenizer::read(
        trml::core::read_bytes(TRML_RT_REPOSITORY "/trml_rt/default_bundle/tokenizer.json"),
        "good");
    static trml::core::Scratch scratch;
    good->encode(bytes, scratch);
  } catch (const trml::core::Error&) {
  }
  return 0;
}
