// Memory that grows and is kept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace et {

// The next multiple of 16.
template <class Integer>
constexpr Integer up16(Integer n) {
  return (n + 15) & ~Integer(15);
}

// A block of memory that only grows; the kernel's threads keep theirs, so that a steady state allocates nothing.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }
  uint8_t* data() { return data_; }
  size_t capacity() const { return capacity_; }
  void swap(Buffer& other) { std::swap(data_, other.data_), std::swap(capacity_, other.capacity_); }
  // At least `bytes` usable, 64-byte aligned, contents undefined; null when memory is out.
  uint8_t* reserve(size_t bytes) {
    if (bytes > capacity_) {
      std::free(data_);
      capacity_ = (bytes + bytes / 4 + 63) / 64 * 64;
      data_ = static_cast<uint8_t*>(std::aligned_alloc(64, capacity_));
      if (!data_) capacity_ = 0;
    }
    return data_;
  }
  template <class T>
  T* reserve_as(size_t count) {
    return reinterpret_cast<T*>(reserve(count * sizeof(T)));
  }

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

// Growing bytes in malloc's memory, so that a caller behind the C ABI can own them.
class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { std::free(data_); }

  // Room for `more` bytes behind `size`.
  bool room(size_t more) {
    if (size + more <= capacity_) return true;
    const size_t wanted = (size + more) + (size + more) / 2;
    void* grown = std::realloc(data_, wanted);
    if (!grown) return false;
    data_ = static_cast<uint8_t*>(grown), capacity_ = wanted;
    return true;
  }
  uint8_t* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  uint8_t* release() {
    uint8_t* data = data_;
    data_ = nullptr, size = capacity_ = 0;
    return data;
  }

  size_t size = 0;

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace et
