#include "support.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <fstream>
#include <numeric>

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bundle/folder.hpp"
#include "engines/device.hpp"
#include "engines/fastest.hpp"

namespace support {
namespace fs = std::filesystem;

Json read_json(const fs::path& path) {
  return trml::core::parse_strict(trml::core::read_bytes(path));
}

std::vector<std::uint8_t> picture(int width, int height, int seed, const std::string& format) {
  std::vector<std::uint8_t> pixels;
  const auto first = [&](int x, int y) { return (x * 7 + y * 3 + seed * 31) % 256; };
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int a = first(x, y), b = (x * y * 5 + seed * 17) % 256;
      const int c = ((x / 3 + y / 4 + seed) % 2) * 255;
      std::vector<int> values{a, b, c};
      if (format == "bgr" || format == "bgra") values = {c, b, a};
      if (format == "rgba" || format == "bgra") values.push_back(x * 11 % 256);
      if (format == "gray") values = {a};
      if (format == "nv12") values = {a * 219 / 255 + 16};
      pixels.insert(pixels.end(), values.begin(), values.end());
    }
  }
  for (int y = 0; format == "nv12" && y < height; y += 2) {
    for (int x = 0; x < width; x += 2) {
      pixels.push_back(std::uint8_t((x * 3 + y + seed) % 225 + 16));
      pixels.push_back(std::uint8_t((x + y * 5 + seed) % 225 + 16));
    }
  }
  return pixels;
}

trml_rt_frame frame_of(const std::vector<std::uint8_t>& pixels, int width, int height,
                       trml_rt_format format) {
  trml_rt_frame frame{};
  frame.data = pixels.data();
  frame.width = width;
  frame.height = height;
  frame.format = format;
  return frame;
}

BundleCopy::BundleCopy() {
  static std::atomic<int> number{0};
  parent_ = fs::temp_directory_path() /
            ("trml_rt_test_" + std::to_string(::getpid()) + "_" + std::to_string(number++));
  fs::create_directories(parent_);
  folder = parent_ / "bundle";
  fs::copy(tiny, folder, fs::copy_options::recursive);
}

namespace {

std::string from_hex(const std::string& hex) {
  std::string data;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    data += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return data;
}

}  // namespace

BundleCopy::~BundleCopy() {
  std::error_code ignored;
  fs::remove_all(parent_, ignored);
}

void BundleCopy::harm(const Json& change) const {
  if (change.value("call", std::string()) == "engines") {
    fs::create_directories(folder / "engines");
    fs::copy(conformance / "engine_folder", folder / "engines" / "built",
             fs::copy_options::recursive);
  }
  const auto record = change.value("record", std::string("model.json"));
  const auto write = [this](const std::string& name, const std::string& data) {
    std::ofstream(folder / name, std::ios::binary) << data;
  };
  if (change.contains("text")) write(record, change["text"].get<std::string>());
  if (change.contains("hex")) write(record, from_hex(change["hex"].get<std::string>()));
  const Json put = change.value("put", Json::object());
  for (const auto& [name, hex] : put.items()) {
    const auto data = from_hex(hex.get<std::string>());
    write(name, data);
    Json content = read_json(folder / record);
    content["files"][name] = {{"sha256", trml::core::sha256_hex(data)}, {"bytes", data.size()}};
    write(record, content.dump());
  }
  if (change.contains("patch")) {
    // The patch of the library works on values whose keys it may sort; the reader minds no order.
    const auto patch = nlohmann::ordered_json::parse(change["patch"].dump());
    write(record, read_json(folder / record).patch(patch).dump());
  }
  for (const auto& name : change.value("delete", Json::array())) {
    fs::remove(folder / name.get<std::string>());
  }
  for (const auto& name : change.value("append", Json::array())) {
    write(name, trml::core::read_bytes(folder / name.get<std::string>()) + '\0');
  }
  for (const auto& name : change.value("flip", Json::array())) {
    auto data = trml::core::read_bytes(folder / name.get<std::string>());
    data[data.size() / 2] ^= 1;
    write(name, data);
  }
  for (const auto& name : change.value("link_self", Json::array())) {
    const auto path = folder / name.get<std::string>();
    fs::remove(path);
    fs::create_symlink(path.filename(), path);
  }
  for (const auto& name : change.value("pipe", Json::array())) {
    fs::remove(folder / name.get<std::string>());
    ::mkfifo((folder / name.get<std::string>()).c_str(), 0600);
  }
  for (const auto& name : change.value("device", Json::array())) {
    fs::remove(folder / name.get<std::string>());
    fs::create_symlink("/dev/zero", folder / name.get<std::string>());
  }
  for (const auto& name : change.value("grow", Json::array())) {
    fs::resize_file(folder / name.get<std::string>(), (16 << 20) + 1);
  }
  for (const auto& name : change.value("link_out", Json::array())) {
    fs::rename(folder / name.get<std::string>(), parent_ / "outside");
    fs::create_symlink(parent_ / "outside", folder / name.get<std::string>());
  }
}

std::string filled_in(std::string text, const fs::path& bundle) {
  utsname system{};
  ::uname(&system);
  std::string name = std::string(system.sysname) + " " + system.machine;
  name[0] = char(std::tolower(name[0]));
  for (const auto& [mark, value] :
       {std::pair<std::string, std::string>{"{bundle}", bundle.string()}, {"{system}", name}}) {
    for (std::size_t at = 0; (at = text.find(mark, at)) != text.npos; at += value.size()) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

void BundleCopy::lay_out(const Json& engines, const Json& built_for, const Json& change,
                         const Json& without, fs::path place) const {
  static const Json records = read_json(conformance / "engines.json")["records"];
  const Json manifest = read_json(folder / "model.json");
  const std::string plan = "plan", suffix = " elsewhere";
  if (place.empty()) place = folder / "engines";
  fs::remove_all(place);
  for (const auto& [precision, value] : engines.items()) {
    auto state = value.get<std::string>();
    const auto built = place / precision;
    fs::create_directories(built);
    const auto write = [&built](const std::string& name, const std::string& data) {
      std::ofstream(built / name, std::ios::binary) << data;
    };
    Json fields = Json::parse(filled_in(built_for.at(precision).dump(), folder));
    if (state.size() > suffix.size() && state.substr(state.size() - suffix.size()) == suffix) {
      state.resize(state.size() - suffix.size());
      fields["compute capability"] = "1.0";
    }
    for (const auto& [name, other] : change.items()) {
      fields[name] = other;
      if (other.is_null()) fields.erase(name);
    }
    Json content{{"schema", 1},
                 {"backend", "tensorrt"},
                 {"precision", precision},
                 {"weights", precision},
                 {"compute", precision},
                 {"built_for", fields},
                 {"files", Json::object()},
                 {"verified", Json::object()}};
    for (const auto& [name, engine] : manifest.at("engines").items()) {
      if (std::find(without.begin(), without.end(), name) != without.end()) continue;
      content["files"][name] = {
          {"file", "plan"}, {"sha256", trml::core::sha256_hex(plan)}, {"bytes", plan.size()}};
    }
    write("plan", plan);
    write("manifest.json", content.dump());
    if (const auto record = records.find(state); record != records.end()) {
      write("verify.json", record->get<std::string>());
    }
  }
}

fs::path BundleCopy::write_fastest(Json record) const {
  const auto device = trml::core::describe_device();
  if (record.contains("device") && record["device"] == Json::object()) record["device"] = device;
  const auto path = folder / "engines" / trml::core::fastest_name(device);
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << record.dump();
  return path;
}

namespace {

double sum(const trml::core::Tensor& tensor, std::size_t row, std::size_t rows) {
  const std::size_t width = tensor.count() / rows;
  double total = 0;
  for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
    total += tensor.type == trml::core::Type::float32 ? double(tensor.as<float>()[i])
             : tensor.type == trml::core::Type::int32 ? tensor.as<std::int32_t>()[i]
                                                      : tensor.bytes[i];
  }
  return total;
}

class SumSession : public trml::core::Session {
 public:
  explicit SumSession(const trml::core::EngineSpec& spec) : spec_(spec) {}

  std::vector<trml::core::Tensor> run(
      const std::vector<const trml::core::Tensor*>& inputs) override {
    std::vector<trml::core::Tensor> outputs;
    const auto rows = std::size_t(inputs[0]->shape[0]);
    for (const auto& stated : spec_.outputs) {
      std::vector<std::int64_t> shape{std::int64_t(rows)};
      for (std::size_t i = 1; i < stated.shape.size(); ++i) shape.push_back(stated.shape[i].size);
      trml::core::Tensor output(stated.type, shape);
      const std::size_t width = output.count() / rows;
      for (std::size_t row = 0; row < rows; ++row) {
        double total = 1;
        for (const auto* input : inputs) total += sum(*input, row, rows);
        std::fill_n(output.as<float>() + row * width, width, float(total));
      }
      outputs.push_back(std::move(output));
    }
    return outputs;
  }

 private:
  trml::core::EngineSpec spec_;
};

class SumEngine : public trml::core::Engine {
 public:
  explicit SumEngine(trml::core::EngineSpec spec) : spec_(std::move(spec)) {}
  std::unique_ptr<trml::core::Session> session(std::shared_ptr<void>&) override {
    return std::make_unique<SumSession>(spec_);
  }

 private:
  trml::core::EngineSpec spec_;
};

}  // namespace

std::shared_ptr<trml::core::Engine> SumBackend::load(const trml::core::EngineSpec& spec,
                                                     std::string, const fs::path&) {
  loaded.push_back(spec.name);
  return std::make_shared<SumEngine>(spec);
}

}  // namespace support
