// The wire of a llama-server worker that embeds: what it is asked on POST /v1/embeddings and POST /tokenize, and its
// answers. As little trusted as in engine_wire.h. Pure; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/embedding.h"

namespace gbgreg::protocols::engine_wire {

// Vectors are asked for in base64: a third of the bytes, and the very floats that the worker has.
std::string write_embed_request(std::span<const llm::EmbedInput> inputs);

// The vectors for `count` inputs, in the order of these whatever the order of the answer. Errors: backend_failed when
// there are others than those, when they differ in length, or when a number in them is none.
Result<llm::EmbedBatch> read_embeddings(std::string_view body, std::size_t count);

// For the tokens of `text` as the model reads it, those included that it puts around a text.
std::string write_tokenize_request(std::string_view text);
// Errors: backend_failed.
Result<llm::TokenIds> read_tokens(std::string_view body);

}  // namespace gbgreg::protocols::engine_wire
