#include "protocols/embeddings_writer.h"

#include "protocols/json_writer.h"

namespace gbgreg::protocols {

void append_numbers(std::string& out, std::span<const float> numbers) {
  JsonWriter json(out);
  json.open_array();
  for (const float number : numbers) json.number(static_cast<double>(number));
  json.close_array();
}

}  // namespace gbgreg::protocols
