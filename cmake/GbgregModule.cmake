# Flags that every one of our targets shares.
add_library(gbgreg_flags INTERFACE)
target_compile_options(gbgreg_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror)
# What is compiled is the same wherever the checkout lies, so that ccache can serve one clone from another.
target_compile_options(gbgreg_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
target_include_directories(gbgreg_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(gbgreg_flags INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_NO_TYPEID)
# The frames of coroutines that Asio keeps for each thread: as many as a request has at a time, or each costs a malloc.
target_compile_definitions(gbgreg_flags INTERFACE BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=12)
# Asio keeps no frame of more than 1 KB; those come from malloc, which aligns well enough, rather than from aligned_alloc,
# which takes twice as long.
target_compile_definitions(gbgreg_flags INTERFACE BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC BOOST_ASIO_DISABLE_BOOST_ALIGN)
if(GBGREG_SANITIZE)
  target_compile_options(gbgreg_flags INTERFACE -fsanitize=${GBGREG_SANITIZE} -fno-omit-frame-pointer
                                                -fno-sanitize-recover=undefined -O1)
  # Debian's libsoci_core does not export the type information that the vptr check would look at.
  if(GBGREG_SANITIZE MATCHES "undefined")
    target_compile_options(gbgreg_flags INTERFACE -fno-sanitize=vptr)
  endif()
  target_link_options(gbgreg_flags INTERFACE -fsanitize=${GBGREG_SANITIZE})
endif()
if(GBGREG_COVERAGE)
  target_compile_options(gbgreg_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(gbgreg_flags INTERFACE -fprofile-instr-generate)
endif()

# For how long the tests of one module may run.
set(GBGREG_UNIT_SECONDS_MAX 300)
if(GBGREG_SANITIZE OR GBGREG_COVERAGE)
  set(GBGREG_UNIT_SECONDS_MAX 900)
endif()

# gbgreg_module(name SOURCES a.cc … DEPENDS lower_module library … [TESTS a_test.cc …])
# makes the static library `name` of the folder src/name and, when it has tests, the program `name_test`.
function(gbgreg_module name)
  cmake_parse_arguments(MODULE "" "" "SOURCES;DEPENDS;TESTS" ${ARGN})
  if(MODULE_SOURCES)
    add_library(${name} STATIC ${MODULE_SOURCES})
    target_link_libraries(${name} PUBLIC gbgreg_flags ${MODULE_DEPENDS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE gbgreg_flags ${MODULE_DEPENDS})
  endif()
  if(MODULE_TESTS)
    add_executable(${name}_test ${MODULE_TESTS})
    target_link_libraries(${name}_test PRIVATE ${name} GTest::gtest_main GTest::gmock)
    add_test(NAME unit/${name} COMMAND ${name}_test)
    set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT ${GBGREG_UNIT_SECONDS_MAX})
  endif()
endfunction()

# Links a test so that core/failing_memory.h can make its allocations fail: it stands before operator new and
# operator new[].
function(gbgreg_failing_memory test)
  target_sources(${test} PRIVATE ${CMAKE_SOURCE_DIR}/src/core/failing_memory.cc)
  target_link_options(${test} PRIVATE LINKER:--wrap=_Znwm,--wrap=_Znam)
endfunction()
