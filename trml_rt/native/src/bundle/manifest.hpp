// The manifest of a bundle: what model.json says, checked whole at the door.
//
// docs/bundle-format.md is the specification. After `read_manifest` returns, the rest of the
// library indexes without guarding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bundle/json.hpp"
#include "bundle/records.hpp"

namespace trml::core {

constexpr std::int64_t schema = 1;  // the newest that this library reads

enum class Axis { none, batch, tokens, frames };

// A size, or the name of an axis whose size changes from call to call.
struct Dimension {
  Axis axis = Axis::none;
  std::int64_t size = 0;
  bool operator==(const Dimension& o) const { return axis == o.axis && size == o.size; }
  bool operator!=(const Dimension& o) const { return !(*this == o); }
};
using Shape = std::vector<Dimension>;

enum class Type { int32, uint8, float32, boolean };

struct TensorSpec {
  std::string name;
  Type type = Type::float32;
  Shape shape;
};

struct EngineSpec {
  std::string name;
  std::string file;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

struct EngineSet {
  std::vector<std::string> modalities;  // as listed
  unsigned present = 0;                 // the same as bits of trml_rt_modality
  std::string name;                     // the same as one word, "text_video"
  std::vector<std::string> engines;     // in running order
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::string golden;
};

struct TextInput {
  std::string tokenizer;
  std::int64_t context = 1;
  std::int64_t pad_id = 0;
  bool cut = true;
};

struct VideoInput {
  std::int64_t frames = 1, height = 1, width = 1;
  std::string resize;         // shortest, longest, squash
  std::string interpolation;  // bicubic, bilinear
  std::int64_t fill = 0;
};

struct AxisRange {
  std::int64_t min = 1, opt = 1, max = 1;
};

struct Task {
  bool regression = true;
  std::vector<std::string> labels;
  std::vector<double> range;       // regression: low, high
  std::vector<double> thresholds;  // regression: one less than labels
};

struct FileEntry {
  std::string name;
  std::string sha256;
  std::int64_t bytes = 0;
};

// The largest difference to PyTorch that a verified graph may have.
constexpr double most_parity = 1e-4;

struct Manifest {
  std::string name;
  std::int64_t embedding = 0;  // d, the size of a vector in the aligned space
  TextInput text;
  VideoInput video;
  AxisRange batch, tokens, frames;
  Task task;
  std::vector<EngineSpec> engines;  // in the order of the file
  std::vector<EngineSet> engine_sets;
  std::vector<std::string> parity;  // the tensors that are as near to PyTorch as they must be
  std::vector<FileEntry> files;

  const EngineSpec* engine(std::string_view name) const;  // nullptr: none of that name
  const FileEntry* file(std::string_view name) const;
};

// Raises ArtefactMismatch with every problem where a rule R1 to R5 or R8 to R12, R15 is broken.
Manifest read_manifest(std::string_view data, const std::string& source = "model.json");

// For records with a `schema`: one sentence for a newer one (R2), a problem noted for a wrong one.
void check_schema(const Json& content, std::int64_t newest, const std::string& source,
                  std::vector<std::string>& problems);

// Read what every entry of a file states; the caller finishes the record.
FileEntry read_file_entry(Record& record);

// Why `path` may not stand in a manifest, or "" (R4).
std::string path_problem(const std::string& path);

std::string modalities_text(unsigned present);  // "text + video"
const char* type_name(Type type);
std::string shape_text(const Shape& shape);  // "['batch', 4]"

}  // namespace trml::core
