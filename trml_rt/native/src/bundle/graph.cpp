#include "bundle/graph.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "error.hpp"

namespace trml::core {
namespace {

// The messages of ONNX that lead to a tensor.
enum class Kind { none, model, training, graph, node, attribute, function, sparse, tensor };

// What lies in a field of a message, by its number in onnx.proto.
Kind part(Kind message, std::uint64_t number) {
  switch (message) {
    case Kind::model:
      return number == 7    ? Kind::graph
             : number == 20 ? Kind::training
             : number == 25 ? Kind::function
                            : Kind::none;
    case Kind::training:
      return number == 1 || number == 2 ? Kind::graph : Kind::none;
    case Kind::graph:
      return number == 1    ? Kind::node
             : number == 5  ? Kind::tensor
             : number == 15 ? Kind::sparse
                            : Kind::none;
    case Kind::node:
      return number == 5 ? Kind::attribute : Kind::none;
    case Kind::attribute:
      return number == 5 || number == 10    ? Kind::tensor
             : number == 6 || number == 11  ? Kind::graph
             : number == 22 || number == 23 ? Kind::sparse
                                            : Kind::none;
    case Kind::function:
      return number == 7 ? Kind::node : number == 11 ? Kind::attribute : Kind::none;
    case Kind::sparse:
      return number == 1 || number == 2 ? Kind::tensor : Kind::none;
    default:
      return Kind::none;
  }
}

constexpr std::uint64_t external_data = 13, data_location = 14;  // of a tensor
constexpr int most_depth = 100;                                  // as deep as protobuf itself reads

// The bytes of one message, read from the front.
class Reader {
 public:
  explicit Reader(std::string_view data) : rest_(data) {}

  bool at_end() const { return rest_.empty(); }

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift <= 63; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes(1).front());
      number |= std::uint64_t(byte & 127u) << shift;
      if (byte < 128) return number;
    }
    throw std::invalid_argument("a number that does not end");
  }

  std::string_view bytes(std::uint64_t count) {
    if (count > rest_.size()) throw std::invalid_argument("it breaks off");
    const auto found = rest_.substr(0, std::size_t(count));
    rest_.remove_prefix(std::size_t(count));
    return found;
  }

 private:
  std::string_view rest_;
};

struct Message {
  Kind kind;
  std::string_view data;
  int depth;
};

// Whether a tensor lies in another file; raises std::invalid_argument for what is no protobuf.
bool leads_outside(std::string_view data) {
  std::vector<Message> messages{{Kind::model, data, 1}};
  while (!messages.empty()) {
    const Message message = messages.back();
    messages.pop_back();
    if (message.depth > most_depth) throw std::invalid_argument("it is nested too deeply");
    for (Reader reader(message.data); !reader.at_end();) {
      const std::uint64_t tag = reader.varint(), number = tag >> 3;
      if (number == 0 || number >= 1u << 29) throw std::invalid_argument("a field without number");
      std::uint64_t value = 0;
      std::string_view bytes;
      switch (tag & 7) {
        case 0:
          value = reader.varint();
          break;
        case 1:
          reader.bytes(8);
          break;
        case 2:
          bytes = reader.bytes(reader.varint());
          break;
        case 5:
          reader.bytes(4);
          break;
        default:  // groups, which no message of ONNX has
          throw std::invalid_argument("a group");
      }
      if (message.kind == Kind::tensor) {
        if (number == external_data || (number == data_location && value != 0)) return true;
      } else if (const Kind found = part(message.kind, number);
                 found != Kind::none && (tag & 7) == 2) {
        messages.push_back({found, bytes, message.depth + 1});
      }
    }
  }
  return false;
}

}  // namespace

void check_graph(std::string_view data, const std::string& source) {
  bool outside = false;
  try {
    // A model begins with its version, which no text and no other format of a model does but two,
    // that name themselves at byte 4.
    const auto other = data.substr(std::min<std::size_t>(4, data.size()), 4);
    if (data.substr(0, 1) != "\x08" || other == "ORTM" || other == "TFL3") {
      throw std::invalid_argument("another format");
    }
    outside = leads_outside(data);
  } catch (const std::invalid_argument&) {
    throw ArtefactMismatch(source + ": not an ONNX graph; export the bundle again");
  }
  if (outside) {
    throw ArtefactMismatch(source +
                           ": a tensor of the graph lies in another file; save the graph with its "
                           "weights inside, and export the bundle again");
  }
}

}  // namespace trml::core
