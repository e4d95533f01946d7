// Encode texts, for the tests that compare with Python: a JSON string a line in, its ids, whether
// it was cut and its share of unknown tokens, or the reason of refusal a line out.
//
//     trml_rt_tokens tokenizer.json < texts.jsonl
#include <iostream>
#include <string>

#include "bundle/folder.hpp"
#include "error.hpp"
#include "inputs/tokenizer.hpp"

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    const auto tokenizer =
        trml::core::Tokenizer::read(trml::core::read_bytes(arguments[1]), arguments[1]);
    trml::core::Scratch scratch;
    for (std::string line; std::getline(std::cin, line);) {
      trml::core::Json answer;
      try {
        const auto tokens =
            tokenizer->encode(trml::core::Json::parse(line).get<std::string>(), scratch);
        answer["ids"] = tokens.ids;
        answer["truncated"] = tokens.truncated;
        answer["unknown"] = tokens.unknown;
      } catch (const trml::core::InputUnusable& error) {
        answer["reason"] = error.reason;
      }
      std::cout << answer << '\n';
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
