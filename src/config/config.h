// Where the gateway's settings come from: a YAML file, then the environment, then flags, each over the one before.
//
// It is read again by POST /api/reload and SIGHUP; listen, tls, data, database, engine, threads,
// limits.connections_max, limits.archive_…, limits.image_…, limits.screenshots_queued_max, records and tracing are
// taken only at a start.
//
// Every key is documented here, beside what it sets. Without any of them the gateway runs with the demo models.
// Reading has no side effects: folders are made by app/.
//
//   listen: 127.0.0.1:3333          # or [::1]:3333, unix:/path/to.sock, https://0.0.0.0:3333; a list for several.
//                                   # [::]:3333 is IPv6 only. Sockets that systemd hands over take its place.
//   tls:                            # for the addresses of `listen` that begin with https://; others are plain HTTP
//     certificate: /etc/…/chain.pem # PEM, the server's own first; both files are looked at every 5 s, and when they
//     key: /etc/…/key.pem           # change new connections use the new pair. PEM, without a passphrase
//   data: ~/.local/share/gbgreg     # uploads/, models/, and the database unless the next line names another
//   database: postgresql://gbgreg@db.example.org/gbgreg   # as libpq reads it, or sqlite:///an/absolute/path; else it
//                                   # is gbgreg.sqlite in the data folder. A password does not belong here: it is in
//                                   # a file for libpq (…/gbgreg?passfile=/etc/gbgreg/pgpass), or all of the URL is in
//                                   # GBGREG_DATABASE
//   engine: …/bin/llama-server      # the inference engine
//   models: …/models                # where relative model files are looked for
//   model_stores: [~/.ollama/models]   # folders of Ollama's whose models are used in place; unless set, those that are
//                                   # there: OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models
//   registries: [registry.ollama.ai, hf.co, huggingface.co]   # from where clients may have models fetched (/api/pull);
//                                   # `gbgreg models pull` may name any
//   hosts: [ai.example.org]         # names under which browsers reach it, beside addresses and local names
//   origins: [https://app.example.org]   # web pages that may use it, beside its own and those of this machine
//   log_level: info                 # trace, debug, info, warn, error, off
//   threads: 0                      # I/O threads; 0 is one a core
//   limits:
//     upload_bytes_max: 104857600   # of one uploaded file
//     json_bytes_max: 33554432      # of one JSON body, images included
//     connections_max: 10000        # fewer where the system allows too few open files
//     queue_max: 64                 # requests waiting for one worker
//     queue_wait_ms_max: 2000       # refused at once who would probably wait longer, or off; unless set, so long that
//                                   # the answer is still there within the role's objective
//     archive_entries_max: 50000    # files and folders of one project
//     archive_bytes_max: 1073741824 # of its files together, unpacked
//     archive_ratio_max: 200        # of that to the archive's own size, once it is more than 1 MB
//     archive_depth_max: 32         # components of a path
//     archive_seconds_max: 120      # for unpacking it
//     image_pixels_max: 40000000    # of one image; more need more memory, 14 bytes each for a moment
//     image_side_max: 32767         # pixels
//     image_shown_side_max: 1568    # pixels of what a model is shown: larger ones are shrunk
//     image_seconds_max: 60         # for decoding one and reading the text on it
//     screenshots_queued_max: 100   # that nobody waits for
//     pull_stall_seconds: 30        # a server that sends next to nothing for so long is asked again
//   auth:
//     required: auto                # who has no key is turned away: auto is as soon as there is a key (gbgreg keys)
//                                   # and on addresses that other machines reach; or always, or never
//   records:
//     keep_days: 30                 # rows of requests; their sums are kept for longer. 0 is no record at all
//     keep_texts_days: 0            # what was said in prompts and answers, for those who run it; 0 is not at all
//     spool_bytes_max: 1073741824   # of what waits in a file while the database is away
//   uploads:
//     allow_unknown_binaries: false # files of no known type, and programs (ELF, PE, Mach-O): refused with 415
//   memory:                         # of all models together; one that is asked for takes the place of an idle one
//     ram_bytes_max: 16000000000    # nine tenths of this machine's, unless set
//     vram_bytes_max: 15000000000   # of the cards together; what NVIDIA's driver says is there, unless set
//   tracing:                        # spans of requests for a collector of OpenTelemetry's; none unless set
//     endpoint: http://127.0.0.1:4318   # of OTLP over HTTP, or https://…; /v1/traces is put behind it
//     ca_file: /etc/…/ca.pem        # for https: as a server's
//     sample_ratio: 1               # of requests that belong to no trace yet, from 0 to 1; else who asks decides
//     service_name: gbgreg
//   servers:                        # outside servers, by names of your own
//     den:
//       kind: ollama                # or vllm, llama-server, openai: anything that speaks OpenAI's dialect
//       url: http://192.168.1.7:11434   # or https://…; a name is looked up, and again every 30 s
//       ca_file: /etc/…/ca.pem      # for https: the authorities that answer for it, instead of the system's
//       key_env: DEN_KEY            # the environment variable that holds its key; or key_file: /etc/…/den.key
//       slots: 4                    # requests at once, over all its models
//   roles:                          # any names; the router knows these four
//     technical:
//       model: demo-technical       # the name clients see
//       file: demo-technical.gguf   # without it the model is one that `gbgreg models pull` or Ollama fetched
//       mmproj: …                   # the vision projector, for models that see; a fetched model brings its own
//       context: 4096               # tokens, for each slot
//       slots: 4                    # answers at once
//       threads: 0                  # CPU threads; 0 is half of the cores
//       objective_ms: 5000          # the promise for this role
//       device: prefer_gpu          # or require_gpu: rather no answer than one from the processor; or cpu
//       gpu_layers: 20              # at most so many on a card; as many as fit, unless set
//       cache: f16                  # of the conversation; q8_0 takes half the memory
//       keep_alive: 300             # seconds: idle for so long it leaves memory; -1 is not before another needs it
//       port: 11436                 # the worker listens on this port of 127.0.0.1, and answers GET /health there to
//                                   # whoever asks; all else needs its key. Unless set, on a socket that only we reach
//       allow_cpu: false            # of prefer_gpu where there is an NVIDIA card: answer from the processor rather
//                                   # than not at all. Every answer says where it was made. The demo models have true
//     documentation:
//       models:                     # several, the one that is wanted first at the head; each has the keys above, or:
//         - model: llama3.1:8b
//           server: [den, attic]    # the servers that have it, which share the work
//           served_as: llama3.1     # the server's own name for it, when that is another
//           context: 8192           # unless set, what the server says, or 4096; and objective_ms, embeddings
//           sees_images: false
//         - model: llama3.2:1b      # asked while none of those before it can answer
//           file: llama3.2-1b.gguf
//     embedding:
//       embeddings: true            # the model makes vectors of texts, and is asked for nothing else
//       pooling: mean               # mean, cls or last, when the model's file says nothing, or wrong
//       dimensions_min: 64          # how short its vectors may be cut, for models trained for that; else not at all
//       …                           # and the keys above; its context is at most what it was trained for
//
// Environment: GBGREG_CONFIG, GBGREG_LISTEN, GBGREG_TLS_CERTIFICATE, GBGREG_TLS_KEY, GBGREG_DATA, GBGREG_DATABASE,
// GBGREG_ENGINE, GBGREG_MODELS, GBGREG_LOG_LEVEL, GBGREG_CACHE, GBGREG_ORIGINS, GBGREG_MODEL_STORES and
// GBGREG_REGISTRIES (with commas), and GBGREG_INSECURE=1, which as a flag is --insecure. For servers of models that ask
// who it is: HF_TOKEN for Hugging Face, GBGREG_REGISTRY_TOKENS=HOST=TOKEN,… for others.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/options.h"
#include "http/options.h"
#include "intake/options.h"
#include "keys/options.h"
#include "models/options.h"
#include "net/options.h"
#include "records/options.h"
#include "traces/options.h"

namespace gbgreg::config {

struct Flags {
  std::optional<std::string> config, listen, tls_certificate, tls_key, data, database, engine, models, log_level;
  bool insecure = false;
};

struct Config {
  std::vector<std::string> listen = {"127.0.0.1:3333"};
  std::optional<net::CertificateFiles> tls = {};
  std::filesystem::path data;
  std::string database = {};  // Its URL, which may have a password in it; empty for the file in the data folder.
  std::filesystem::path models;
  std::filesystem::path cache;  // What is fetched or built once is kept there.
  models::Options stores = {};  // Of models that are known by their names.
  std::string log_level = "info";
  bool insecure = false;  // May listen where others can reach it, though there is no key.
  keys::Options keys = {};
  net::Options net = {};
  http::Options http = {};
  intake::ArchiveLimits archives = {};
  intake::ImageLimits images = {};
  int screenshots_queued_max = 100;
  records::RecorderOptions records = {};
  traces::Options tracing = {};
  fleet::Options fleet = {};
  std::vector<std::string> warnings = {};  // Sentences for the log, about what is taken but should be otherwise.
};

// The value of an environment variable; absent when unset or empty.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// Errors: malformed, with the file, the line and the key at fault and what would be right.
Result<Config> load(const Flags& flags, const Environment& environment);

// Where a configuration is read from, again and again.
struct Source {
  Flags flags = {};
  Environment environment = {};
};
inline Result<Config> load(const Source& source) { return load(source.flags, source.environment); }
// The file, if there is one.
std::optional<std::string> file_of(const Source& source);

}  // namespace gbgreg::config
