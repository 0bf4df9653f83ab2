#include "fleet/engine_log.h"

#include <gtest/gtest.h>

#include <random>

namespace gbgreg::fleet {
namespace {

using Stream = EngineLog::Stream;

std::string log_line(std::string_view message, std::string_view level = "info") {
  return R"({"type":"log","time":78994,"level":")" + std::string(level) + R"(","msg":")" + std::string(message) +
         R"(\n"})";
}

EngineLog read(const std::vector<std::string>& messages) {
  EngineLog log(200, {});
  for (const std::string& message : messages) log.take(Stream::out, log_line(message));
  return log;
}

// Recorded from llama-server v0.5.0 on a machine without a GPU, with a tiny vision model.
constexpr const char* kRecordedLoad[] = {
    R"({"type":"log","time":6473,"level":"info","msg":"cmn  common_param: device_info:\n"})",
    R"({"type":"log","time":5233,"level":"info","msg":"cmn  common_param:   - CPU     : AMD EPYC (24105 MiB, 24105 MiB free)\n"})",
    "",
    R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj_model"],"current":"text_model","value":0.0}})",
    R"({"type":"log","time":7099,"level":"info","msg":"srv    load_model: loading model '/models/demo-vision.gguf'\n"})",
    R"({"type":"fit_memory_breakdown","data":{"unit":"MiB","rows":[{"kind":"host","name":"Host","self":6,"model":4,"context":2,"compute":0}]}})",
    R"({"type":"log","time":77043,"level":"info","msg":"print_info: n_layer               = 2\n"})",
    R"({"type":"log","time":77043,"level":"info","msg":"print_info: n_layer_all           = 2\n"})",
    R"({"type":"log","time":77077,"level":"info","msg":"load_tensors: loading model tensors, this can take a while... (load_mode = mmap)\n"})",
    R"({"type":"log","time":78994,"level":"info","msg":"load_tensors:   CPU_Mapped model buffer size =     4.23 MiB\n"})",
    "",
    R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj_model"],"current":"text_model","value":1.0}})",
    R"({"type":"log","time":79610,"level":"info","msg":"llama_context:        CPU  output buffer size =     0.24 MiB\n"})",
    R"({"type":"log","time":79670,"level":"info","msg":"llama_kv_cache:        CPU KV buffer size =     2.00 MiB\n"})",
    R"(cmd_child_to_router:state:{"state":"loading","payload":{"stage":"mmproj_model"}})",
    R"({"type":"log","time":82568,"level":"info","msg":"clip_ctx: CLIP using CPU backend\n"})",
    R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj_model"],"current":"mmproj_model","value":1.0}})",
    R"({"type":"log","time":86127,"level":"warn","msg":"srv          init: --cache-idle-slots requires --cache-ram, disabling\n"})",
    R"(cmd_child_to_router:state:{"state":"ready","payload":{"id":"demo-vision","aliases":["demo-vision"],"tags":[],"object":"model","created":1795479573,"owned_by":"llamacpp","meta":{"vocab_type":1,"n_vocab":32000,"n_ctx":4096}}})",
};

TEST(EngineLog, FollowsARecordedLoadOnTheCpu) {
  EngineLog log(200, {"/models"});
  std::vector<double> progress;
  bool is_ready = false;
  for (const char* line : kRecordedLoad) {
    const EngineWord word = log.take(Stream::out, line);
    if (word.state && word.state->progress) progress.push_back(*word.state->progress);
    if (word.state && word.state->stage == EngineStage::ready) is_ready = true;
  }
  EXPECT_EQ(progress, (std::vector<double>{0, 0.5, 1}));
  EXPECT_TRUE(is_ready);
  EXPECT_EQ(log.placement(), (llm::Placement{.device = "CPU", .gpu_layers = 0, .total_layers = 3, .projector = "CPU"}));
  ASSERT_EQ(log.lines().size(), 11U);
  EXPECT_EQ(log.lines()[2].text, "srv    load_model: loading model 'demo-vision.gguf'");
  EXPECT_EQ(log.lines().back().level, LogLevel::warning);
  EXPECT_EQ(log.last_words(), "");
}

// As the engine's source formats them: no GPU was at hand.
constexpr const char* kUsingCuda =
    "llama_prepare_model_devices: using device CUDA0 (NVIDIA GeForce RTX 5070 Ti) (0000:01:00.0) - 15800 MiB free";
constexpr const char* kLoading = "load_tensors: loading model tensors, this can take a while... (load_mode = mmap)";
constexpr const char* kCpuBuffer = "load_tensors:   CPU_Mapped model buffer size =   281.81 MiB";
constexpr const char* kCudaBuffer = "load_tensors:        CUDA0 model buffer size =  4403.49 MiB";

TEST(EnginePlacement, SaysOnlyWhatTheLogProves) {
  struct Case {
    const char* name;
    std::vector<std::string> messages;
    llm::Placement want;
  };
  const Case cases[] = {
      {"nothing was said", {}, {}},
      {"only loading began", {kLoading}, {}},
      {"a device was named, but no layer was placed", {kUsingCuda, kLoading}, {}},
      {"a device was named and only host buffers were made", {kUsingCuda, kLoading, kCpuBuffer}, {}},
      {"a buffer on the CPU and no word of a GPU", {kLoading, kCpuBuffer}, {.device = "CPU"}},
      {"repacked for the CPU",
       {"print_info: n_layer               = 32", kLoading,
        "load_tensors:   CPU_REPACK model buffer size = 100.00 MiB"},
       {.device = "CPU", .gpu_layers = 0, .total_layers = 33}},
      {"all layers on CUDA0",
       {kUsingCuda, kLoading, "load_tensors: offloading output layer to GPU",
        "load_tensors: offloading 32 repeating layers to GPU", "load_tensors: offloaded 33/33 layers to GPU",
        kCpuBuffer, kCudaBuffer},
       {.device = "CUDA0", .devices = {"CUDA0"}, .gpu_layers = 33, .total_layers = 33}},
      {"all layers on Vulkan0",
       {"llama_prepare_model_devices: using device Vulkan0 (llvmpipe) (unknown id) - 24000 MiB free", kLoading,
        "load_tensors: offloaded 3/3 layers to GPU", "load_tensors:      Vulkan0 model buffer size =     0.36 MiB",
        "load_tensors:  Vulkan_Host model buffer size =     4.23 MiB"},
       {.device = "Vulkan0", .devices = {"Vulkan0"}, .gpu_layers = 3, .total_layers = 3}},
      {"some layers on the card",
       {kUsingCuda, kLoading, "load_tensors: offloaded 20/33 layers to GPU", kCpuBuffer, kCudaBuffer},
       {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 20, .total_layers = 33}},
      {"the card is there, and holds no layer",
       {kUsingCuda, kLoading, "load_tensors: offloaded 0/33 layers to GPU", kCpuBuffer},
       {.device = "CPU", .gpu_layers = 0, .total_layers = 33}},
      {"offloaded, it says, and it was kept off every device",
       {kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCpuBuffer},
       {.device = "CPU", .gpu_layers = 0, .total_layers = 33}},
      {"two cards",
       {kUsingCuda, kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCudaBuffer,
        "load_tensors:        CUDA1 model buffer size =  2403.49 MiB"},
       {.device = "mixed", .devices = {"CUDA0", "CUDA1"}, .gpu_layers = 33, .total_layers = 33}},
      {"offloaded, it says, but no buffer on a card",
       {kUsingCuda, kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCpuBuffer},
       {.device = "unknown", .gpu_layers = 33, .total_layers = 33}},
      {"the projector fell back to the CPU",
       {kUsingCuda, kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCudaBuffer,
        "clip_ctx: CLIP using CPU backend"},
       {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 33, .total_layers = 33}},
      {"the projector is on the card too",
       {kUsingCuda, kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCudaBuffer,
        "clip_ctx: CLIP using CUDA0 backend"},
       {.device = "CUDA0", .devices = {"CUDA0"}, .gpu_layers = 33, .total_layers = 33}},
      {"only the projector is on the card",
       {kUsingCuda, kLoading, "load_tensors: offloaded 0/33 layers to GPU", kCpuBuffer,
        "clip_ctx: CLIP using CUDA0 backend"},
       {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 0, .total_layers = 33}},
      {"a second attempt counts alone",
       {kUsingCuda, kLoading, "load_tensors: offloaded 33/33 layers to GPU", kCudaBuffer, kLoading,
        "load_tensors: offloaded 20/33 layers to GPU", kCpuBuffer, kCudaBuffer},
       {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 20, .total_layers = 33}},
      {"the right words in the wrong mouth",
       {"srv  log: load_tensors: offloaded 33/33 layers to GPU",
        "srv  log: load_tensors: CUDA0 model buffer size = 1.0 MiB"},
       {}},
      {"numbers that are none",
       {kLoading, "load_tensors: offloaded 99999999999/33 layers to GPU", "load_tensors: offloaded -1/33 layers to GPU",
        "load_tensors: offloaded 3 layers to GPU", "load_tensors: offloaded 66/33 layers to GPU",
        "print_info: n_layer = many", "print_info: n_layer = 2147483647"},
       {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const llm::Placement got = read(c.messages).placement();
    EXPECT_EQ(got.device, c.want.device);
    EXPECT_EQ(got.devices, c.want.devices);
    EXPECT_EQ(got.gpu_layers, c.want.gpu_layers);
    EXPECT_EQ(got.total_layers, c.want.total_layers);
  }
}

TEST(EnginePlacement, CannotBeForgedOnceRequestsAreServed) {
  EngineLog log = read({kLoading, kCpuBuffer});
  log.take(Stream::out, R"(cmd_child_to_router:state:{"state":"ready","payload":{}})");
  log.take(Stream::out, log_line("load_tensors: offloaded 33/33 layers to GPU"));
  log.take(Stream::out, log_line(kCudaBuffer));
  EXPECT_EQ(log.placement().device, "CPU");
}

TEST(EngineLog, BelievesAStateOnStdoutOnly) {
  EngineLog log(10, {});
  const char* ready = R"(cmd_child_to_router:state:{"state":"ready","payload":{}})";
  EXPECT_FALSE(log.take(Stream::err, ready).state);
  EXPECT_FALSE(log.take(Stream::out, log_line(R"(cmd_child_to_router:state:{\"state\":\"ready\"})")).state);
  EXPECT_TRUE(log.take(Stream::out, ready).state);
}

TEST(EngineLog, IgnoresStatesThatItCannotRead) {
  EngineLog log(10, {});
  for (const char* line : {
           "cmd_child_to_router:state:", "cmd_child_to_router:state:{", "cmd_child_to_router:state:[]",
           R"(cmd_child_to_router:state:{"state":7})",
           R"(cmd_child_to_router:state:{"state":"downloading","payload":{}})",
           R"(cmd_child_to_router:state:{"state":"sleeping","payload":{}})",  // We never ask it to.
       }) {
    EXPECT_FALSE(log.take(Stream::out, line).state) << line;
  }
  const char* odd = R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":[],"current":"x","value":1}})";
  EXPECT_FALSE(log.take(Stream::out, odd).state->progress);
}

// Recorded with the first 20,000 bytes of a model.
TEST(EngineLog, FindsTheCauseOfAFailedLoadAmongItsConsequences) {
  EngineLog log(200, {"/models"});
  log.take(Stream::err, "0.00.000.609 I srv  llama_server: initializing ...");
  log.take(Stream::out, log_line("gguf_init_from_reader: failed to read key-value pairs", "error"));
  log.take(Stream::out, log_line("llama_model_load: error loading model: llama_model_loader: failed to load model from "
                                 "/models/bad.gguf",
                                 "error"));
  log.take(Stream::out, log_line("gguf_init_from_reader: failed to read key-value pairs", "error"));
  log.take(Stream::out, log_line("srv  llama_server: exiting due to model loading error", "error"));
  EXPECT_EQ(log.last_words(),
            "gguf_init_from_reader: failed to read key-value pairs | llama_model_load: error loading model: "
            "llama_model_loader: failed to load model from bad.gguf");
}

TEST(EngineLog, TakesPlainWordsOnStderrAsComplaints) {
  EngineLog log(200, {});
  log.take(Stream::err,
           "llama-server: error while loading shared libraries: libcudart.so.13: cannot open shared object");
  EXPECT_EQ(log.last_words(),
            "llama-server: error while loading shared libraries: libcudart.so.13: cannot open shared object");
}

TEST(EngineLog, RemembersOldComplaintsNoLongerThanTheyMatter) {
  EngineLog log(200, {});
  log.take(Stream::out, log_line("while loading", "error"));
  log.take(Stream::out, R"(cmd_child_to_router:state:{"state":"ready"})");
  EXPECT_EQ(log.last_words(), "while loading");
  for (int i = 0; i < 30; ++i) log.take(Stream::out, log_line("slot release"));
  EXPECT_EQ(log.last_words(), "");
  log.take(Stream::err, "/src/ggml-cuda.cu:98: CUDA error: an illegal memory access was encountered");
  EXPECT_EQ(log.last_words(), "ggml-cuda.cu:98: CUDA error: an illegal memory access was encountered");
}

TEST(EngineLog, TellsNothingThatMayQuoteARequestOnceItServes) {
  EngineLog log(200, {});
  EXPECT_TRUE(log.take(Stream::out, log_line("no request was there yet", "error")).log_line->may_be_told);
  log.take(Stream::out, R"(cmd_child_to_router:state:{"state":"ready"})");
  for (int i = 0; i < 30; ++i) log.take(Stream::out, log_line("slot release"));
  const std::pair<Stream, std::string> lines[] = {
      {Stream::out, log_line("failed to parse: my secret", "error")},
      {Stream::err, log_line("failed to parse: my secret", "error")},
      {Stream::err, R"({"type":"log","time":1,"level":"error","msg":"cut off within my secr)"},
      {Stream::err, "0.00.000.609 E srv  operator(): got exception: my secret"},
      {Stream::out, "my secret"},
  };
  for (const auto& [stream, line] : lines) {
    EXPECT_FALSE(log.take(stream, line).log_line->may_be_told) << line;
    EXPECT_EQ(log.last_words(), "") << line;
  }
}

TEST(EngineLog, TellsAnAssertionButNotWhatTheCrashPrintsAfterIt) {
  struct Case {
    const char* assertion;
    const char* after;
  };
  const Case cases[] = {
      {"ggml/llama-batch.cpp:98: GGML_ASSERT(batch.n_tokens > 0) failed", R"(#5 f (text=0x1 "my secret") at x.cpp:7)"},
      {"terminate called after throwing an instance of 'std::runtime_error'", "  what():  cannot parse my secret"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.assertion);
    EngineLog log(200, {});
    log.take(Stream::out, R"(cmd_child_to_router:state:{"state":"ready"})");
    EXPECT_TRUE(log.take(Stream::err, c.assertion).log_line->may_be_told);
    for (int i = 0; i < 30; ++i) EXPECT_FALSE(log.take(Stream::err, c.after).log_line->may_be_told);
    EXPECT_EQ(log.last_words(), c.assertion);
  }
}

TEST(EngineLog, KeepsABoundedTailOfPrintableLines) {
  EngineLog log(3, {});
  for (int i = 0; i < 10; ++i) log.take(Stream::out, "line " + std::to_string(i));
  ASSERT_EQ(log.lines().size(), 3U);
  EXPECT_EQ(log.lines().front().text, "line 7");
  EXPECT_EQ(log.take(Stream::out,
                     "a\x01"
                     "b\xff"
                     "c\xc3\xa4")
                .log_line->text,
            "a b?c\xc3\xa4");
  EXPECT_EQ(log.take(Stream::out, std::string(60'000, 'x')).log_line->text.size(), kLogLineBytesMax);
  // A character of several bytes is never cut in two, nor does it go over the end.
  std::string many = "x";
  while (many.size() < 2 * kLogLineBytesMax) many += "\xc3\xa4";
  EXPECT_EQ(log.take(Stream::out, many).log_line->text.size(), kLogLineBytesMax - 1);
}

TEST(EngineLog, KeepsNoPath) {
  const std::pair<const char*, const char*> cases[] = {
      // As clip.cpp and server-http.cpp write them.
      {"clip_init: failed to load model '/other/place/mmproj.gguf': open failed",
       "clip_init: failed to load model 'mmproj.gguf': open failed"},
      {"srv start: couldn't bind HTTP server socket, hostname: /home/me/.gbgreg/run/w0-1.sock, port: 8080",
       "srv start: couldn't bind HTTP server socket, hostname: w0-1.sock, port: 8080"},
      {"cannot open /My Models/small/a.gguf", "cannot open a.gguf"},
      {"cannot open /My Models/b.gguf", "cannot open b.gguf"},
      {"/home/me/src/ggml.c:98: GGML_ASSERT(a/b) failed", "ggml.c:98: GGML_ASSERT(a/b) failed"},
      {"unix:/run/x.sock", "unix:x.sock"},
      {"a folder: /run/x/", "a folder: "},
      {"offloaded 20/33 layers, I/O, a / b, /, http://x/y", "offloaded 20/33 layers, I/O, a / b, /, http://x/y"},
  };
  for (const auto& [line, kept] : cases) {
    EngineLog log(10, {"/", "", "/My Models", "/My Models/small/"});
    EXPECT_EQ(log.take(Stream::out, line).log_line->text, kept);
  }
}

TEST(EngineLog, KeepsNothingOfTheKey) {
  EngineLog log(10, {});
  EXPECT_EQ(log.take(Stream::out, log_line("srv  init_listene: api_keys: ****abcd")).log_line, nullptr);
  EXPECT_EQ(log.take(Stream::err, "0.00.000.609 I srv  init_listene: api_keys: ****abcd").log_line, nullptr);
  EXPECT_TRUE(log.lines().empty());
}

TEST(EngineLog, SurvivesAnyBytes) {
  std::mt19937 random(7);
  EngineLog log(20, {"/m"});
  for (int round = 0; round < 20'000; ++round) {
    std::string line = kRecordedLoad[random() % std::size(kRecordedLoad)];
    for (unsigned change = random() % 6; change > 0 && !line.empty(); --change) {
      line[random() % line.size()] = static_cast<char>(random());
    }
    line.resize(random() % (line.size() + 1));
    log.take(round % 2 == 0 ? Stream::out : Stream::err, line);
    log.last_words();
    log.placement();
  }
}

TEST(EngineLogArchitectures, AreThoseThatTheModuleForCudaNames) {
  const auto of = [](std::string_view message) { return read({std::string(message)}).architectures(); };
  EXPECT_EQ(of("system_info: n_threads = 4 (n_threads_batch = 4) / 8 | CUDA : ARCHS = 750,800,1200 | USE_GRAPHS = 1 |"),
            (std::vector<int>{750, 800, 1200}));
  EXPECT_EQ(of("system_info: n_threads = 4 | CPU : SSE3 = 1 | AVX = 1 |"), std::vector<int>{});
  EXPECT_EQ(of("CUDA : ARCHS = none"), std::vector<int>{});
  EXPECT_EQ(of("CUDA : ARCHS = 750,"), std::vector<int>{750});
  EXPECT_EQ(of("CUDA : ARCHS = 99999999999999,750"), std::vector<int>{});
}

TEST(EngineLogComplaints, AreThoseOfLoadingAndNotOfRequests) {
  EngineLog log(1, {});
  log.take(Stream::out, log_line("fits nowhere", "warn"));
  for (int i = 0; i < 50; ++i) log.take(Stream::out, log_line("all is well"));
  log.take(Stream::out, log_line("out of memory", "error"));
  EXPECT_EQ(log.complaints(), (std::vector<std::string>{"fits nowhere", "out of memory"}));
  log.take(Stream::out, R"(cmd_child_to_router:state:{"state":"ready","payload":{}})");
  log.take(Stream::out, log_line("cannot parse 'what somebody asked'", "error"));
  EXPECT_EQ(log.complaints().size(), 2U) << "it may quote a request";
}

}  // namespace
}  // namespace gbgreg::fleet
