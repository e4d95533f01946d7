// What the tests share: where the files are, pictures by formula, a copy of the tiny bundle to
// harm.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/json.hpp"
#include "trml_rt/trml_rt.h"

namespace support {

using trml::core::Json;

const std::filesystem::path repository = TRML_RT_REPOSITORY;  // set by CMake
const std::filesystem::path conformance = repository / "tests/conformance";
const std::filesystem::path tiny = repository / "tests/bundles/schema1";
const std::filesystem::path default_bundle = repository / "trml_rt/default_bundle";

Json read_json(const std::filesystem::path& path);

// The picture of tests/conformance/pictures.py, packed; NV12 has its second plane after the first.
std::vector<std::uint8_t> picture(int width, int height, int seed = 0,
                                  const std::string& format = "rgb");

// A frame over packed pixels.
trml_rt_frame frame_of(const std::vector<std::uint8_t>& pixels, int width, int height,
                       trml_rt_format format = TRML_RT_RGB);

// A copy of the tiny bundle in a folder that vanishes with it.
class BundleCopy {
 public:
  BundleCopy();
  ~BundleCopy();
  BundleCopy(const BundleCopy&) = delete;
  void harm(const Json& change) const;
  // Write one engine folder for each precision of `engines`, in the state that it says, as
  // tests/conformance/engines.py does. `built_for` is that part of engines.json.
  // They lie in `place`, or beside the bundle where it is empty.
  void lay_out(const Json& engines, const Json& built_for, const Json& change = Json::object(),
               const Json& without = Json::array(), std::filesystem::path place = {}) const;
  // Write what was found fastest on this device, and return the file; {} in the place of the device
  // of `record` is this one.
  std::filesystem::path write_fastest(Json record) const;
  std::filesystem::path folder;

 private:
  std::filesystem::path parent_;
};

// The text that engines.json has of this bundle and system.
std::string filled_in(std::string text, const std::filesystem::path& bundle);

// Engines that stand in for networks. Each output of a row is the sum of the row's inputs plus one,
// so a test can say by hand what comes out. Counts what is loaded.
class SumBackend : public trml::core::Backend {
 public:
  const char* name() const override { return "sum"; }
  std::shared_ptr<trml::core::Engine> load(const trml::core::EngineSpec& spec, std::string data,
                                           const std::filesystem::path& path) override;
  std::vector<std::string> loaded;
};

}  // namespace support
