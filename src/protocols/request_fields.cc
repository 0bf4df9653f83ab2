#include "protocols/request_fields.h"

#include <algorithm>

#include "protocols/base64.h"
#include "protocols/tools.h"

namespace gbgreg::protocols {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();

struct NumberOption {
  std::string_view name;
  std::optional<double> llm::Sampling::* target;
  double low, high;
};
constexpr NumberOption kNumberOptions[] = {
    {"temperature", &llm::Sampling::temperature, 0, 2},
    {"top_p", &llm::Sampling::top_p, 0, 1},
    {"min_p", &llm::Sampling::min_p, 0, 1},
    {"typical_p", &llm::Sampling::typical_p, 0, 1},
    {"repeat_penalty", &llm::Sampling::repeat_penalty, 0.01, 2},  // The worker refuses 0.
    {"presence_penalty", &llm::Sampling::presence_penalty, -2, 2},
    {"frequency_penalty", &llm::Sampling::frequency_penalty, -2, 2},
};

struct IntegerOption {
  std::string_view name;
  std::optional<int> llm::Sampling::* target;
  int low, high;
};
constexpr IntegerOption kIntegerOptions[] = {
    {"top_k", &llm::Sampling::top_k, 0, 100'000},
    {"repeat_last_n", &llm::Sampling::repeat_last_n, -1, 1'000'000},  // -1: the whole context.
};

// Fixed when the worker loads its model.
constexpr std::string_view kReloadOptions[] = {
    "num_ctx",  "num_batch", "num_gpu",    "main_gpu",   "low_vram",       "f16_kv",   "logits_all",
    "use_mmap", "use_mlock", "num_thread", "vocab_only", "embedding_only", "num_keep", "numa",
};

// Takes out the line breaks that `base64` puts every 76 characters; Ollama's own reader passes over them too.
std::string without_line_breaks(std::string_view text) {
  std::string joined;
  joined.reserve(text.size());
  std::ranges::copy_if(text, std::back_inserter(joined), [](char byte) { return byte != '\n' && byte != '\r'; });
  return joined;
}

Result<void> read_image(JsonValue& value, const Limits& limits, llm::Image& image) {
  std::string_view text;
  if (value.type() != JsonType::text) return value.must_be("a string of base64");
  if (auto read = value.read_text(text); !read) return read;
  return take_image(value, text, limits, image);
}

Result<void> read_content(JsonValue& value, std::string& content) {
  if (value.type() != JsonType::array) return value.read_text(content);
  content.clear();
  return value.each_element([&](JsonValue& part) -> Result<void> {
    std::string text;
    std::string type;
    auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
      if (name == "type") return field.read_text(type);
      if (name == "text") return field.read_text(text);
      return {};
    };
    if (auto read = part.each_field(read_field); !read) return read;
    if (type != "text") return part.must_be("a part of type \"text\"; images go into \"images\"");
    content += text;
    return {};
  });
}

Result<void> read_speaker(JsonValue& value, llm::Speaker& speaker) {
  std::string_view role;
  if (auto read = value.read_text(role); !read) return read;
  if (role == "system" || role == "developer") {
    speaker = llm::Speaker::system;
  } else if (role == "user") {
    speaker = llm::Speaker::user;
  } else if (role == "assistant") {
    speaker = llm::Speaker::assistant;
  } else if (role == "tool") {
    speaker = llm::Speaker::tool;
  } else {
    return value.must_be("\"system\", \"user\", \"assistant\" or \"tool\"");
  }
  return {};
}

}  // namespace

Result<void> take_image(const JsonValue& value, std::string_view text, const Limits& limits, llm::Image& image) {
  std::string joined;
  if (text.find_first_of("\r\n") != std::string_view::npos) {
    joined = without_line_breaks(text);
    text = joined;
  }
  if (text.size() / 4 * 3 > limits.image_bytes_max + 2) {
    return fail(Kind::too_large, "image_too_large",
                "\"" + value.path() + "\" is larger than the limit of " + std::to_string(limits.image_bytes_max) +
                    " bytes an image.");
  }
  if (!is_base64(text)) return value.must_be("an image in padded base64, without a data: prefix");
  constexpr std::size_t kCharactersNeeded = 24;
  const std::string_view media_type = sniff_image(from_base64(text.substr(0, kCharactersNeeded)));
  if (media_type.empty()) {
    return fail(Kind::refused, "image_not_understood",
                "\"" + value.path() + "\" is not an image that gbgreg understands: send PNG, JPEG, WebP, GIF or BMP.");
  }
  image.base64.assign(text);
  image.media_type = media_type;
  return {};
}

std::unexpected<Error> too_many_images(const JsonValue& value, const Limits& limits) {
  return fail(
      Kind::too_large, "too_many_images",
      "\"" + value.path() + "\" holds more than the limit of " + std::to_string(limits.images_max) + " images.");
}

std::string_view sniff_image(std::string_view first) {
  if (first.starts_with("\x89PNG\r\n\x1A\n")) return "image/png";
  if (first.starts_with("\xFF\xD8\xFF")) return "image/jpeg";
  if (first.starts_with("RIFF") && first.size() >= 12 && first.substr(8, 4) == "WEBP") return "image/webp";
  if (first.starts_with("GIF87a") || first.starts_with("GIF89a")) return "image/gif";
  // "BM" alone is two letters; the four reserved bytes of its header are zero.
  if (first.starts_with("BM") && first.size() >= 10 && first.substr(6, 4) == std::string_view("\0\0\0\0", 4)) {
    return "image/bmp";
  }
  return {};
}

Result<void> read_stops(JsonValue& value, const Limits& limits, std::vector<std::string>& stops) {
  stops.clear();
  if (value.type() == JsonType::null) return value.skip();
  auto read_one = [&](JsonValue& stop) -> Result<void> {
    if (stops.size() == limits.stops_max) {
      return value.must_be("at most " + std::to_string(limits.stops_max) + " stop sequences");
    }
    std::string text;
    if (stop.type() != JsonType::text) return stop.must_be("a string");
    if (auto read = stop.read_text(text, limits.stop_bytes_max); !read) return read;
    if (!text.empty()) stops.push_back(std::move(text));
    return {};
  };
  if (value.type() == JsonType::text) return read_one(value);
  if (value.type() != JsonType::array) return value.must_be("a string or an array of strings");
  return value.each_element(read_one);
}

Result<void> read_options(JsonValue& value, const Limits& limits, llm::Request& request) {
  if (value.type() == JsonType::null) return value.skip();
  llm::Sampling& sampling = request.sampling;
  return value.each_field([&](std::string_view name, JsonValue& option) -> Result<void> {
    for (const auto& known : kNumberOptions) {
      if (name == known.name) return option.read_number(sampling.*known.target, known.low, known.high);
    }
    for (const auto& known : kIntegerOptions) {
      if (name == known.name) return option.read_integer(sampling.*known.target, known.low, known.high);
    }
    if (name == "seed") {
      // llama-server's seeds have 32 bits, and -1 there means a random one, as any negative seed does with Ollama.
      return option.read_integer(sampling.seed, -0x7FFFFFFFLL - 1, 0xFFFFFFFFLL);
    }
    if (name == "num_predict") {
      std::optional<int> tokens;
      if (auto read = option.read_integer(tokens, -2, kIntMax); !read) return read;
      // -1 is without end and -2 until the context is full: both are our bound of no bound.
      if (tokens) sampling.tokens_max = *tokens < 0 ? std::nullopt : tokens;
      return {};
    }
    if (name == "stop") return read_stops(option, limits, sampling.stop);
    if (std::ranges::find(kReloadOptions, name) != std::end(kReloadOptions) && option.type() != JsonType::null) {
      auto& ignored = request.ignored_options;
      if (std::ranges::find(ignored, name) == ignored.end()) ignored.emplace_back(name);
    }
    return {};
  });
}

Result<void> read_images(JsonValue& value, const Limits& limits, std::vector<llm::Image>& images) {
  images.clear();
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (images.size() == limits.images_max) {
      return too_many_images(value, limits);
    }
    return read_image(element, limits, images.emplace_back());
  });
}

Result<void> read_messages(JsonValue& value, const Limits& limits, std::vector<llm::Message>& messages) {
  messages.clear();
  std::size_t images = 0;
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (messages.size() == limits.messages_max) {
      return value.must_be("at most " + std::to_string(limits.messages_max) + " messages");
    }
    llm::Message message;
    bool has_role = false;
    auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
      if (name == "role") {
        has_role = true;
        return read_speaker(field, message.speaker);
      }
      if (name == "content") return read_content(field, message.text);
      if (name == "images") return read_images(field, limits, message.images);
      if (name == "tool_calls") return read_tool_calls(field, limits, message.tool_calls);
      if (name == "tool_call_id") return field.read_text(message.tool_call_id, limits.tool_name_bytes_max);
      if (name == "tool_name") return field.read_text(message.tool_name, limits.tool_name_bytes_max);
      if (name == "thinking") return field.read_text(message.thinking);
      return {};
    };
    if (auto read = element.each_field(read_field); !read) return read;
    if (!has_role) return element.must_be("a message with a \"role\"");
    images += message.images.size();
    if (images > limits.images_max) {
      return too_many_images(value, limits);
    }
    messages.push_back(std::move(message));
    return {};
  });
}

Result<void> read_format(JsonValue& value, const Limits& limits, llm::Request& request) {
  request.format = llm::Format::text;
  request.schema_json.clear();
  switch (value.type()) {
    case JsonType::null:
      return value.skip();
    case JsonType::object:
      request.format = llm::Format::schema;
      return value.read_raw(request.schema_json, limits.schema_bytes_max);
    case JsonType::text: {
      std::string_view name;
      if (auto read = value.read_text(name); !read) return read;
      if (name == "json") {
        request.format = llm::Format::json;
        return {};
      }
      if (name.empty()) return {};
      break;
    }
    default:
      break;
  }
  return value.must_be("\"json\" or a JSON schema");
}

Result<void> read_effort(JsonValue& value, std::optional<std::string>& effort) {
  constexpr std::array<std::string_view, 7> kEfforts{"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  std::string_view name;
  if (auto read = value.read_text(name); !read) return read;
  if (name.data() == nullptr) return {};
  if (std::ranges::find(kEfforts, name) == kEfforts.end()) {
    return value.must_be("\"none\", \"minimal\", \"low\", \"medium\" or \"high\"");
  }
  effort = name;
  return {};
}

Result<void> read_priority(JsonValue& value, llm::Priority& priority) {
  std::string_view name;
  if (auto read = value.read_text(name); !read) return read;
  if (name == "batch") {
    priority = llm::Priority::batch;
  } else if (name == "interactive") {
    priority = llm::Priority::interactive;
  } else if (name.data() != nullptr) {
    return value.must_be("\"interactive\" or \"batch\"");
  }
  return {};
}

Result<void> read_not_yet(JsonValue& value) {
  bool is_empty = true;
  if (value.type() == JsonType::array) {
    auto see = [&](JsonValue&) -> Result<void> {
      is_empty = false;
      return {};
    };
    if (auto read = value.each_element(see); !read) return read;
  } else {
    std::string_view text;
    if (auto read = value.read_text(text); !read) return read;
    is_empty = text.empty();
  }
  if (is_empty) return {};
  return fail(Kind::refused, "not_available_yet",
              "This version cannot answer over projects yet: leave \"" + value.path() +
                  "\" out and put what matters into the prompt.");
}

Result<void> check_text_size(const llm::Request& request, const Limits& limits) {
  std::size_t bytes = 0;
  for (const auto& message : request.messages) {
    bytes += message.text.size() + message.thinking.size();
    for (const auto& call : message.tool_calls) bytes += call.arguments.size();
  }
  for (const auto& tool : request.tools) bytes += tool.description.size() + tool.parameters_json.size();
  if (bytes > limits.text_bytes_max) {
    return fail(
        Kind::too_large, "text_too_large",
        "The text of the request is larger than the limit of " + std::to_string(limits.text_bytes_max) + " bytes.");
  }
  return {};
}

}  // namespace gbgreg::protocols
