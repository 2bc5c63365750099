!> Small dense products over a panel of atoms, the atoms in the vector lanes.
!>
!> A panel x(n_q, n) holds one quantity of n_q atoms per column, n_q best a multiple of `lanes`.  The weights
!> are few and go into registers, so each of these loops runs close to the machine's peak.
module tf_dense
   use tf_kinds, only : wp, sp, rp => wp
   implicit none
   private
   public :: add_product, add_outer_product, add_column_sums, few_rows_product, combine_columns, project_on_columns, &
      tile_in, tile_out

   ! Tile sizes: 5 outputs by 4 inputs keep 20 weights in registers
   integer, parameter :: tile_out = 5, tile_in = 4
   ! Rows whose sum may be one of numbers of precision rp; the sums of more are added in double precision
   integer, parameter :: rows_of_sum = merge(2**30, 1024, kind(1.0_rp) == wp)

contains

   !> z(q,p) = z(q,p) + Σ_k x(q,k) w(p,k)
   pure subroutine add_product(n_q, n_in, n_out, x, w, z)
      !> Atoms (padded), inputs, outputs
      integer, intent(in) :: n_q, n_in, n_out
      !> Input panel
      real(rp), intent(in) :: x(n_q, n_in)
      !> Weights
      real(rp), intent(in) :: w(n_out, n_in)
      !> Output panel
      real(rp), intent(inout) :: z(n_q, n_out)
      integer :: p, k, q, p_last, k_last

      p_last = n_out - mod(n_out, tile_out)
      k_last = n_in - mod(n_in, tile_in)
      do p = 1, p_last, tile_out
         do k = 1, k_last, tile_in
            !$omp simd
            do q = 1, n_q
               z(q, p) = z(q, p) + x(q, k)*w(p, k) + x(q, k + 1)*w(p, k + 1) &
                  + x(q, k + 2)*w(p, k + 2) + x(q, k + 3)*w(p, k + 3)
               z(q, p + 1) = z(q, p + 1) + x(q, k)*w(p + 1, k) + x(q, k + 1)*w(p + 1, k + 1) &
                  + x(q, k + 2)*w(p + 1, k + 2) + x(q, k + 3)*w(p + 1, k + 3)
               z(q, p + 2) = z(q, p + 2) + x(q, k)*w(p + 2, k) + x(q, k + 1)*w(p + 2, k + 1) &
                  + x(q, k + 2)*w(p + 2, k + 2) + x(q, k + 3)*w(p + 2, k + 3)
               z(q, p + 3) = z(q, p + 3) + x(q, k)*w(p + 3, k) + x(q, k + 1)*w(p + 3, k + 1) &
                  + x(q, k + 2)*w(p + 3, k + 2) + x(q, k + 3)*w(p + 3, k + 3)
               z(q, p + 4) = z(q, p + 4) + x(q, k)*w(p + 4, k) + x(q, k + 1)*w(p + 4, k + 1) &
                  + x(q, k + 2)*w(p + 4, k + 2) + x(q, k + 3)*w(p + 4, k + 3)
            end do
         end do
         do k = k_last + 1, n_in
            !$omp simd
            do q = 1, n_q
               z(q, p) = z(q, p) + x(q, k)*w(p, k)
               z(q, p + 1) = z(q, p + 1) + x(q, k)*w(p + 1, k)
               z(q, p + 2) = z(q, p + 2) + x(q, k)*w(p + 2, k)
               z(q, p + 3) = z(q, p + 3) + x(q, k)*w(p + 3, k)
               z(q, p + 4) = z(q, p + 4) + x(q, k)*w(p + 4, k)
            end do
         end do
      end do
      do p = p_last + 1, n_out
         do k = 1, k_last, tile_in
            !$omp simd
            do q = 1, n_q
               z(q, p) = z(q, p) + x(q, k)*w(p, k) + x(q, k + 1)*w(p, k + 1) &
                  + x(q, k + 2)*w(p, k + 2) + x(q, k + 3)*w(p, k + 3)
            end do
         end do
         do k = k_last + 1, n_in
            !$omp simd
            do q = 1, n_q
               z(q, p) = z(q, p) + x(q, k)*w(p, k)
            end do
         end do
      end do
   end subroutine add_product

   !> g(p,k) = g(p,k) + Σ_q d(q,p) x(q,k)
   pure subroutine add_outer_product(n_q, n_in, n_out, x, d, g)
      !> Atoms (padded), inputs, outputs
      integer, intent(in) :: n_q, n_in, n_out
      !> Input panel
      real(rp), intent(in) :: x(n_q, n_in)
      !> Derivatives with respect to the outputs
      real(rp), intent(in) :: d(n_q, n_out)
      !> Derivatives with respect to the weights
      real(wp), intent(inout) :: g(n_out, n_in)
      real(rp) :: a1, a2, a3, a4, a5, b1, b2, b3, b4, b5
      integer :: p, k, q, p_last, k_last

      p_last = n_out - mod(n_out, tile_out)
      k_last = n_in - mod(n_in, 2)
      do p = 1, p_last, tile_out
         do k = 1, k_last, 2
            a1 = 0.0_rp; a2 = 0.0_rp; a3 = 0.0_rp; a4 = 0.0_rp; a5 = 0.0_rp
            b1 = 0.0_rp; b2 = 0.0_rp; b3 = 0.0_rp; b4 = 0.0_rp; b5 = 0.0_rp
            !$omp simd reduction(+:a1, a2, a3, a4, a5, b1, b2, b3, b4, b5)
            do q = 1, n_q
               a1 = a1 + x(q, k)*d(q, p)
               a2 = a2 + x(q, k)*d(q, p + 1)
               a3 = a3 + x(q, k)*d(q, p + 2)
               a4 = a4 + x(q, k)*d(q, p + 3)
               a5 = a5 + x(q, k)*d(q, p + 4)
               b1 = b1 + x(q, k + 1)*d(q, p)
               b2 = b2 + x(q, k + 1)*d(q, p + 1)
               b3 = b3 + x(q, k + 1)*d(q, p + 2)
               b4 = b4 + x(q, k + 1)*d(q, p + 3)
               b5 = b5 + x(q, k + 1)*d(q, p + 4)
            end do
            g(p, k) = g(p, k) + a1
            g(p + 1, k) = g(p + 1, k) + a2
            g(p + 2, k) = g(p + 2, k) + a3
            g(p + 3, k) = g(p + 3, k) + a4
            g(p + 4, k) = g(p + 4, k) + a5
            g(p, k + 1) = g(p, k + 1) + b1
            g(p + 1, k + 1) = g(p + 1, k + 1) + b2
            g(p + 2, k + 1) = g(p + 2, k + 1) + b3
            g(p + 3, k + 1) = g(p + 3, k + 1) + b4
            g(p + 4, k + 1) = g(p + 4, k + 1) + b5
         end do
         do k = k_last + 1, n_in
            a1 = 0.0_rp; a2 = 0.0_rp; a3 = 0.0_rp; a4 = 0.0_rp; a5 = 0.0_rp
            !$omp simd reduction(+:a1, a2, a3, a4, a5)
            do q = 1, n_q
               a1 = a1 + x(q, k)*d(q, p)
               a2 = a2 + x(q, k)*d(q, p + 1)
               a3 = a3 + x(q, k)*d(q, p + 2)
               a4 = a4 + x(q, k)*d(q, p + 3)
               a5 = a5 + x(q, k)*d(q, p + 4)
            end do
            g(p, k) = g(p, k) + a1
            g(p + 1, k) = g(p + 1, k) + a2
            g(p + 2, k) = g(p + 2, k) + a3
            g(p + 3, k) = g(p + 3, k) + a4
            g(p + 4, k) = g(p + 4, k) + a5
         end do
      end do
      do p = p_last + 1, n_out
         k_last = n_in - mod(n_in, tile_in)
         do k = 1, k_last, tile_in
            a1 = 0.0_rp; a2 = 0.0_rp; a3 = 0.0_rp; a4 = 0.0_rp
            !$omp simd reduction(+:a1, a2, a3, a4)
            do q = 1, n_q
               a1 = a1 + x(q, k)*d(q, p)
               a2 = a2 + x(q, k + 1)*d(q, p)
               a3 = a3 + x(q, k + 2)*d(q, p)
               a4 = a4 + x(q, k + 3)*d(q, p)
            end do
            g(p, k) = g(p, k) + a1
            g(p, k + 1) = g(p, k + 1) + a2
            g(p, k + 2) = g(p, k + 2) + a3
            g(p, k + 3) = g(p, k + 3) + a4
         end do
         do k = k_last + 1, n_in
            a1 = 0.0_rp
            !$omp simd reduction(+:a1)
            do q = 1, n_q
               a1 = a1 + x(q, k)*d(q, p)
            end do
            g(p, k) = g(p, k) + a1
         end do
      end do
   end subroutine add_outer_product

   !> y(l,p) = Σ_k a(l,k) x(k,p) for few rows l, a multiple of `tile_in`, which lie in the vector lanes
   pure subroutine few_rows_product(n_l, n_k, n_p, a, x, y)
      !> Rows, terms of a sum, columns
      integer, intent(in) :: n_l, n_k, n_p
      real(rp), intent(in) :: a(n_l, n_k), x(n_k, n_p)
      real(rp), intent(out) :: y(n_l, n_p)
      real(rp) :: y1(tile_in), y2(tile_in), y3(tile_in), y4(tile_in)
      integer :: p, k, l, row, p_last

      p_last = n_p - mod(n_p, 4)
      do p = 1, p_last, 4
         do row = 0, n_l - tile_in, tile_in
            y1 = 0.0_rp; y2 = 0.0_rp; y3 = 0.0_rp; y4 = 0.0_rp
            do k = 1, n_k
               !$omp simd
               do l = 1, tile_in
                  y1(l) = y1(l) + a(row + l, k)*x(k, p)
                  y2(l) = y2(l) + a(row + l, k)*x(k, p + 1)
                  y3(l) = y3(l) + a(row + l, k)*x(k, p + 2)
                  y4(l) = y4(l) + a(row + l, k)*x(k, p + 3)
               end do
            end do
            y(row + 1:row + tile_in, p) = y1
            y(row + 1:row + tile_in, p + 1) = y2
            y(row + 1:row + tile_in, p + 2) = y3
            y(row + 1:row + tile_in, p + 3) = y4
         end do
      end do
      do p = p_last + 1, n_p
         y(:, p) = 0.0_rp
         do k = 1, n_k
            y(:, p) = y(:, p) + a(:, k)*x(k, p)
         end do
      end do
   end subroutine few_rows_product

   !> s(p) = s(p) + Σ_q d(q,p)
   pure subroutine add_column_sums(n_q, n_out, d, s)
      !> Atoms (padded), outputs
      integer, intent(in) :: n_q, n_out
      real(rp), intent(in) :: d(n_q, n_out)
      real(wp), intent(inout) :: s(n_out)
      real(rp) :: a
      integer :: p, q

      do p = 1, n_out
         a = 0.0_rp
         !$omp simd reduction(+:a)
         do q = 1, n_q
            a = a + d(q, p)
         end do
         s(p) = s(p) + a
      end do
   end subroutine add_column_sums

   !> y(l) = Σ_k x(k) a(l,k), a in single precision
   pure subroutine combine_columns(n, m, x, a, y)
      !> Rows and columns of a
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(m)
      real(sp), intent(in) :: a(n, m)
      real(rp), intent(out) :: y(n)
      integer :: k, l, last

      y = 0.0_rp
      last = m - mod(m, 4)
      do k = 1, last, 4
         !$omp simd
         do l = 1, n
            y(l) = y(l) + x(k)*real(a(l, k), rp) + x(k + 1)*real(a(l, k + 1), rp) &
               + x(k + 2)*real(a(l, k + 2), rp) + x(k + 3)*real(a(l, k + 3), rp)
         end do
      end do
      do k = last + 1, m
         !$omp simd
         do l = 1, n
            y(l) = y(l) + x(k)*real(a(l, k), rp)
         end do
      end do
   end subroutine combine_columns

   !> y(k) = Σ_l x(l) a(l,k), a in single precision
   pure subroutine project_on_columns(n, m, x, a, y)
      !> Rows and columns of a
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(n)
      real(sp), intent(in) :: a(n, m)
      real(wp), intent(out) :: y(m)
      real(rp) :: a1, a2, a3, a4
      integer :: k, l, first, last, last_row

      y = 0.0_wp
      last = m - mod(m, 4)
      do first = 1, n, rows_of_sum
         last_row = first + min(rows_of_sum - 1, n - first)
         do k = 1, last, 4
            a1 = 0.0_rp; a2 = 0.0_rp; a3 = 0.0_rp; a4 = 0.0_rp
            !$omp simd reduction(+:a1, a2, a3, a4)
            do l = first, last_row
               a1 = a1 + x(l)*real(a(l, k), rp)
               a2 = a2 + x(l)*real(a(l, k + 1), rp)
               a3 = a3 + x(l)*real(a(l, k + 2), rp)
               a4 = a4 + x(l)*real(a(l, k + 3), rp)
            end do
            y(k) = y(k) + a1
            y(k + 1) = y(k + 1) + a2
            y(k + 2) = y(k + 2) + a3
            y(k + 3) = y(k + 3) + a4
         end do
         do k = last + 1, m
            a1 = 0.0_rp
            !$omp simd reduction(+:a1)
            do l = first, last_row
               a1 = a1 + x(l)*real(a(l, k), rp)
            end do
            y(k) = y(k) + a1
         end do
      end do
   end subroutine project_on_columns

end module tf_dense
