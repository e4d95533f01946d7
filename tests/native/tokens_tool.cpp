// Encode texts, for the tests that compare with Python: a JSON string a line in, its ids, whether
// it was cut, or the reason of refusal a line out.
//
//     trml_rt_tokens tokenizer.json < texts.jsonl
#include <iostream>
#include <string>

#include "bundle.hpp"
#include "error.hpp"
#include "tokenizer.hpp"

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    const auto tokenizer =
        trml_core::Tokenizer::read(trml_core::read_bytes(arguments[1]), arguments[1]);
    trml_core::Scratch scratch;
    for (std::string line; std::getline(std::cin, line);) {
      trml_core::Json answer;
      try {
        const auto tokens =
            tokenizer->encode(trml_core::Json::parse(line).get<std::string>(), scratch);
        answer["ids"] = tokens.ids;
        answer["truncated"] = tokens.truncated;
      } catch (const trml_core::InputUnusable& error) {
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
