// Every bound of what a client may say in a body, by name. Each is named in the error that it causes.
#pragma once

#include <cstddef>

namespace gbgreg::protocols {

struct Limits {
  std::size_t body_bytes_max = 32 * 1024 * 1024;  // With images; the text alone is bounded by the next line.
  std::size_t text_bytes_max = 16 * 1024 * 1024;  // Prompt, system prompt and messages together.
  int json_depth_max = 64;
  std::size_t images_max = 16;
  std::size_t image_bytes_max = 20 * 1024 * 1024;  // Of one image, decoded.
  std::size_t messages_max = 4096;
  std::size_t model_bytes_max = 256;
  std::size_t stops_max = 16;
  std::size_t stop_bytes_max = 256;
  std::size_t schema_bytes_max = 256 * 1024;
  std::size_t session_bytes_max = 256;
  std::size_t tools_max = 128;
  std::size_t tool_name_bytes_max = 256;
  std::size_t tool_calls_max = 128;  // Of one message.
  std::size_t uploads_max = 32;      // That a question may name.
  // Of OpenAI's responses.
  std::size_t files_max = 16;  // Uploaded files that a conversation names.
  std::size_t file_id_bytes_max = 64;
  std::size_t echo_bytes_max = 64 * 1024;  // Longer instructions or tools are not said again in the answer.
  std::size_t metadata_pairs_max = 16;
  std::size_t metadata_key_characters_max = 64;
  std::size_t metadata_value_characters_max = 512;
  int deadline_ms_max = 3'600'000;
  std::size_t inputs_max = 2048;               // Texts of one request for embeddings; OpenAI's own bound.
  std::size_t input_bytes_max = 1024 * 1024;   // Of one of them: far more than any model takes.
  std::size_t input_tokens_max = 1024 * 1024;  // Where they come as tokens, of all together.
};

}  // namespace gbgreg::protocols
