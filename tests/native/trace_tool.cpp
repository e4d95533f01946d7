// Run one engine set on given tensors, for the tests that compare with the golden files: JSON in,
// {"present": 1, "tensors": {name: {"type", "shape", "data" in base64}}}, all tensors out.
//
//     trml_rt_trace bundle < inputs.json
#include <openssl/evp.h>

#include <iostream>
#include <iterator>
#include <string>

#include "error.hpp"
#include "inputs/charsmap.hpp"
#include "runtime.hpp"

using namespace trml::core;

namespace {

std::string to_base64(const std::vector<std::uint8_t>& bytes) {
  std::string text(bytes.size() / 3 * 4 + 5, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                     int(bytes.size()));
  text.resize(std::size_t(length));
  return text;
}

Type type_named(const std::string& name) {
  for (const Type type : {Type::int32, Type::uint8, Type::boolean}) {
    if (name == type_name(type)) return type;
  }
  return Type::float32;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    Options options;
    options.bundle = arguments[1];
    options.backend = "openvino";
    Model model(options);
    Dispatcher dispatcher(model.bundle.manifest, *model.engines);
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    const Json request = parse_strict(text);
    Tensors tensors;
    for (const auto& [name, given] : request.at("tensors").items()) {
      Tensor tensor(type_named(given.at("type")), given.at("shape"));
      const auto data = from_base64(given.at("data").get<std::string>());
      if (data.size() != tensor.bytes.size()) throw UsageError(name + ": size and shape differ");
      tensor.bytes.assign(data.begin(), data.end());
      tensors[name] = std::move(tensor);
    }
    dispatcher.run(request.at("present"), tensors);
    Json answer;
    for (const auto& [name, tensor] : tensors) {
      answer[name] = {{"type", type_name(tensor.type)},
                      {"shape", tensor.shape},
                      {"data", to_base64(tensor.bytes)}};
    }
    std::cout << answer << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
