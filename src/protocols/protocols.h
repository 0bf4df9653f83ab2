// Bytes of a protocol to hub types (llm/) and back: one file for each dialect, both ways, pure.
//
// It knows no sockets, no HTTP beyond the bodies, no fleet. What clients and engines send is foreign: every function
// here answers any bytes at all with a value or an Error, within the bounds of options.h. Any thread may call any
// function; the only state is one JSON parser a thread (json_reader.h).
//
//   ollama.h       POST /api/generate and /api/chat, in and out; lists of models
//   openai.h       POST /v1/chat/completions and /v1/completions in; openai_relay.h passes their answers through
//   openai_responses.h, openai_files.h   POST /v1/responses, and what /v1/files says, in and out
//   anthropic.h    POST /v1/messages, in and out
//   native.h       our own shapes: errors, the `gbgreg` block, /api/route, /health
//   openai_embeddings.h, ollama_embeddings.h   texts to vectors, in and out
//   engine_wire.h  what a llama-server worker is asked, and what it answers; engine_embeddings.h of vectors
//   json_reader.h, json_writer.h   the one way JSON is read, and written
#pragma once

#include "protocols/anthropic.h"
#include "protocols/engine_embeddings.h"
#include "protocols/engine_wire.h"
#include "protocols/native.h"
#include "protocols/ollama.h"
#include "protocols/ollama_embeddings.h"
#include "protocols/openai.h"
#include "protocols/openai_embeddings.h"
#include "protocols/openai_files.h"
#include "protocols/openai_relay.h"
#include "protocols/openai_responses.h"
#include "protocols/options.h"
