// A module of the engine that needs a runtime of CUDA's.
extern "C" int gbgreg_fake_library();
extern "C" int gbgreg_fake_module() { return gbgreg_fake_library(); }
