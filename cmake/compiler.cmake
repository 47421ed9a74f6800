# Compiler, warnings, baseline and link mode. One compiler: clang 19 (g++ 12 miscompiles coroutines).
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Baton builds with clang 19 only (g++ 12 miscompiles coroutines): use `make`, or -DCMAKE_CXX_COMPILER=clang++-19")
endif()

find_program(BATON_CCACHE ccache)
if(BATON_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${BATON_CCACHE})
endif()

# Ten files of a folder as one translation unit (cmake/baton_library): most of a compilation is reading headers, so this
# builds some four times as fast. `dev` keeps files apart, for the sake of a change in one of them. Names of file scope must differ within a folder.
option(BATON_TOGETHER "Compile the files of a folder together" OFF)
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wimplicit-fallthrough -Wundef -Werror -fno-pie)
if(BATON_TOGETHER)
  add_compile_options(-Wno-shadow) # of another file's names
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v2)
endif()
add_link_options(-fuse-ld=lld -no-pie)

set(CMAKE_CXX_FLAGS_DEV "-O1 -g1 -D_GLIBCXX_ASSERTIONS")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -D_GLIBCXX_ASSERTIONS -D_FORTIFY_SOURCE=2")
set(CMAKE_CXX_FLAGS_ASAN "-O1 -g1 -D_GLIBCXX_ASSERTIONS -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined")
set(CMAKE_CXX_FLAGS_TSAN "-O1 -g1 -fsanitize=thread")
set(CMAKE_EXE_LINKER_FLAGS_ASAN "-fsanitize=address,undefined")
set(CMAKE_EXE_LINKER_FLAGS_TSAN "-fsanitize=thread")
if(BATON_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
