// A library that is there, and nothing else: for a runtime of CUDA's, and for a module of the engine that may need it.
extern "C" int gbgreg_fake_library() { return 0; }
