#include "inputs/subwords.hpp"

#include <algorithm>
#include <queue>
#include <stdexcept>
#include <tuple>

#include "utf.hpp"

namespace trml::core {
namespace {

// Where the characters of `word` begin, and its end.
std::vector<std::size_t> boundaries(std::string_view word) {
  std::vector<std::size_t> places{0};
  for (std::size_t i = 0; i < word.size();) {
    next_code_point(word, i);
    places.push_back(i);
  }
  return places;
}

// A setting that changes the ids in a way not carried here must be off.
void must_be_off(const Json& model, const char* key) {
  const Json value = model.value(key, Json());
  if (!value.is_null() && value != false && value != "" && value != 0.0) {
    throw std::invalid_argument(std::string("a model with ") + key +
                                ", which this library does not know");
  }
}

class WordPiece : public Subwords {
 public:
  explicit WordPiece(const Json& model)
      : Subwords(model.at("vocab")),
        prefix_(model.at("continuing_subword_prefix").get<std::string>()),
        longest_(model.at("max_input_chars_per_word").get<std::size_t>()) {
    const auto unknown = model.at("unk_token").get<std::string>();
    unknown_ = vocabulary_.find(unknown);
    if (!unknown_) throw std::invalid_argument("no " + repr(unknown) + " in the vocabulary");
  }

  // The longest piece that fits, again and again; a word with a part that none fits is unknown.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    if (word.size() <= max_bytes) {  // most words are one piece
      if (const auto id = vocabulary_.find(word); id && word.size() <= longest_) {
        ids.push_back(*id);
        return;
      }
    }
    const auto places = boundaries(word);
    const std::size_t before = ids.size(), count = places.size() - 1;
    std::string piece;
    for (std::size_t start = 0, end = 0; start < count; start = end) {
      std::optional<std::int32_t> id;
      for (end = count > longest_ ? start : count; end > start && !id; --end) {
        piece.assign(start == 0 ? "" : prefix_);
        piece += word.substr(places[start], places[end] - places[start]);
        id = vocabulary_.find(piece);
        if (id) break;
      }
      if (!id) {
        ids.resize(before);
        ids.push_back(*unknown_);
        return;
      }
      ids.push_back(*id);
    }
  }

 private:
  static constexpr std::size_t max_bytes = 400;
  std::string prefix_;
  std::size_t longest_;  // in characters
};

class BytePair : public Subwords {
 public:
  explicit BytePair(const Json& model) : Subwords(model.at("vocab")) {
    for (const char* key : {"dropout", "continuing_subword_prefix", "fuse_unk", "byte_fallback",
                            "ignore_merges", "unk_token"}) {
      must_be_off(model, key);
    }
    if (const Json suffix = model.value("end_of_word_suffix", Json()); !suffix.is_null()) {
      suffix_ = suffix.get<std::string>();
    }
    const Json& merges = model.at("merges");
    merges_.reserve(merges.size());
    std::int32_t rank = 0;
    for (const auto& merge : merges) {
      std::string left, right;
      if (merge.is_array()) {
        left = merge.at(0).get<std::string>();
        right = merge.at(1).get<std::string>();
      } else {
        const auto text = merge.get<std::string>();
        const auto blank = text.find(' ');
        if (blank == text.npos) throw std::invalid_argument("a merge of one part");
        left = text.substr(0, blank);
        right = text.substr(blank + 1);
      }
      const Merge made{rank++, id_of(left + right)};
      merges_[pair(id_of(left), id_of(right))] = made;
    }
  }

  // Join the neighbours of lowest rank, leftmost first, until no neighbours have a merge.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    const auto places = boundaries(word);
    std::vector<Symbol> symbols;
    std::string part;
    for (std::size_t i = 0; i + 1 < places.size(); ++i) {
      part.assign(word.substr(places[i], places[i + 1] - places[i]));
      if (i + 2 == places.size()) part += suffix_;
      if (const auto id = vocabulary_.find(part)) {
        symbols.push_back({*id, int(symbols.size()) - 1, int(symbols.size()) + 1, true});
      }
    }
    if (symbols.empty()) return;
    symbols.back().next = -1;
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto consider = [&](int left) {
      const int right = left < 0 ? -1 : symbols[std::size_t(left)].next;
      if (right < 0) return;
      const auto found =
          merges_.find(pair(symbols[std::size_t(left)].id, symbols[std::size_t(right)].id));
      if (found != merges_.end()) queue.emplace(found->second.rank, left, found->second.id);
    };
    for (int i = 0; i < int(symbols.size()); ++i) consider(i);
    while (!queue.empty()) {
      const auto [rank, place, id] = queue.top();
      queue.pop();
      Symbol& left = symbols[std::size_t(place)];
      if (!left.alive || left.next < 0) continue;
      Symbol& right = symbols[std::size_t(left.next)];
      const auto found = merges_.find(pair(left.id, right.id));
      if (found == merges_.end() || found->second.id != id) continue;  // a neighbour has changed
      left.id = id;
      right.alive = false;
      left.next = right.next;
      if (left.next >= 0) symbols[std::size_t(left.next)].previous = place;
      consider(left.previous);
      consider(place);
    }
    for (const auto& symbol : symbols) {
      if (symbol.alive) ids.push_back(symbol.id);
    }
  }

 private:
  struct Merge {
    std::int32_t rank, id;
  };
  struct Symbol {
    std::int32_t id;
    int previous, next;
    bool alive;
  };
  using Candidate = std::tuple<std::int32_t, int, std::int32_t>;  // rank, place, id

  static std::uint64_t pair(std::int32_t left, std::int32_t right) {
    return std::uint64_t(std::uint32_t(left)) << 32 | std::uint32_t(right);
  }

  std::int32_t id_of(const std::string& word) const {
    if (const auto id = vocabulary_.find(word)) return *id;
    throw std::invalid_argument("a merge of " + repr(word) + ", which is not in the vocabulary");
  }

  std::string suffix_;
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace

Vocabulary::Vocabulary(const Json& words) {
  if (!words.is_object()) throw std::invalid_argument("a vocabulary that is no object");
  std::size_t size = 0;
  for (const auto& [word, id] : words.items()) size += word.size();
  text_.reserve(size);
  ids_.reserve(words.size());
  for (const auto& [word, id] : words.items()) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
        id.get<std::int64_t>() > INT32_MAX) {
      throw std::invalid_argument("the id of " + repr(word) + " is no number from 0 to 2147483647");
    }
    text_ += word;
    ids_.emplace(std::string_view(text_).substr(text_.size() - word.size()),
                 id.get<std::int32_t>());
  }
}

std::optional<std::int32_t> Vocabulary::find(std::string_view word) const {
  const auto found = ids_.find(word);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::unique_ptr<const Subwords> make_subwords(const Json& model) {
  // Old files name no type; byte-pair encoding is what has merges.
  const auto type =
      model.value("type", std::string(model.contains("merges") ? "BPE" : "WordPiece"));
  if (type == "BPE") return std::make_unique<BytePair>(model);
  if (type == "WordPiece") return std::make_unique<WordPiece>(model);
  throw std::invalid_argument("a model " + repr(type) + ", which this library does not know");
}

}  // namespace trml::core
